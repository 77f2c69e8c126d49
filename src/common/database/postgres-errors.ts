/** What the database said when it refused a statement. */
export interface PostgresRefusal {
  /** SQLSTATE, such as `23505`. */
  sqlState: string;
  /** The constraint or unique index that refused, where one did. */
  constraint: string | null;
}

/** What Prisma's adapter makes of an error of `pg`. */
interface AdapterCause {
  originalCode?: unknown;
  originalMessage?: unknown;
  constraint?: unknown;
  kind?: unknown;
}

interface PgErrorShape {
  name?: unknown;
  code?: unknown;
  constraint?: unknown;
  cause?: unknown;
  meta?: { driverAdapterError?: { cause?: AdapterCause } };
}

/** Their classes begin so; `EPIPE` is a code of the system. */
const SQLSTATE = /^[0-9FHPX][0-9A-Z]{4}$/;

/**
 * Reads SQLSTATE and constraint out of an error of `pg` or of Prisma; null when it is neither. The only place that
 * knows how each of them wraps it, since Prisma's `meta` is not a stable interface.
 */
export function postgresRefusal(error: unknown): PostgresRefusal | null {
  if (typeof error !== 'object' || error === null) return null;
  const shape = error as PgErrorShape;
  const cause = adapterCause(shape);
  if (cause !== undefined && typeof cause.originalCode === 'string') {
    return { sqlState: cause.originalCode, constraint: constraintOf(cause) };
  }
  if (typeof shape.code === 'string' && SQLSTATE.test(shape.code)) {
    return {
      sqlState: shape.code,
      constraint: typeof shape.constraint === 'string' ? shape.constraint : null,
    };
  }
  return null;
}

/** Within Prisma's error; or by itself, where a transaction fails to begin or to end. */
function adapterCause(error: PgErrorShape): AdapterCause | undefined {
  const bare = error.name === 'DriverAdapterError' ? (error.cause as AdapterCause | undefined) : undefined;
  return error.meta?.driverAdapterError?.cause ?? bare;
}

function constraintOf(cause: { originalMessage?: unknown; constraint?: unknown }): string | null {
  const named = cause.constraint as { index?: unknown } | undefined;
  if (typeof named?.index === 'string') return named.index;
  const quoted =
    typeof cause.originalMessage === 'string' ? /constraint "([^"]+)"/.exec(cause.originalMessage) : null;
  return quoted?.[1] ?? null;
}

/** True when a unique index or constraint of this name refused. */
export function violates(error: unknown, constraint: string): boolean {
  const refusal = postgresRefusal(error);
  return refusal?.sqlState.startsWith('23') === true && refusal.constraint === constraint;
}

/** Serialization failure or deadlock: the same work from the start may well succeed. */
export function isRetryable(error: unknown): boolean {
  const state = postgresRefusal(error)?.sqlState;
  return state === '40001' || state === '40P01';
}

/** A lock or a statement took longer than it may: the caller should come back. */
export function isTimeout(error: unknown): boolean {
  const state = postgresRefusal(error)?.sqlState;
  return state === '55P03' || state === '57014';
}

/**
 * 08: the connection failed; 57P: the server is starting, stopping or has crashed; 53 and 58: it is out of connections,
 * memory or disk; 25P03 and 25P04: it ended a session that was paused for too long in a transaction; 25006: it is a standby
 * that was not promoted yet.
 */
const AWAY = /^(08|57P|53|58|25P03|25P04|25006)/;
const CONNECTION_CODES: readonly unknown[] = [
  'ECONNREFUSED',
  'ECONNRESET',
  'EPIPE',
  'ETIMEDOUT',
  'EHOSTUNREACH',
  'P1001',
  'P1002',
  'P1008',
  'P1017',
  'P2024',
  'P2028',
];
/** Of Prisma's adapter. */
const CONNECTION_KINDS: readonly unknown[] = [
  'ConnectionClosed',
  'DatabaseNotReachable',
  'SocketTimeout',
  'TooManyConnections',
];
const CONNECTION_MESSAGES =
  /connection terminated|timeout exceeded when trying to connect|cannot use a pool|connection ended|not queryable/i;

/** The database is away, is starting or stopping, or has no connection free. */
export function isUnavailable(error: unknown): boolean {
  const state = postgresRefusal(error)?.sqlState;
  if (state !== undefined && AWAY.test(state)) return true;
  if (typeof error !== 'object' || error === null) return false;
  const { code, message } = error as { code?: unknown; message?: unknown };
  return (
    CONNECTION_CODES.includes(code) ||
    CONNECTION_KINDS.includes(adapterCause(error)?.kind) ||
    (typeof message === 'string' && CONNECTION_MESSAGES.test(message))
  );
}
