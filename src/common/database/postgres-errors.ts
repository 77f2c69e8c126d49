/** What the database said when it refused a statement. */
export interface PostgresRefusal {
  /** SQLSTATE, such as `23505`. */
  sqlState: string;
  /** The constraint or unique index that refused, where one did. */
  constraint: string | null;
}

interface PgErrorShape {
  code?: unknown;
  constraint?: unknown;
  meta?: {
    driverAdapterError?: {
      cause?: { originalCode?: unknown; originalMessage?: unknown; constraint?: unknown };
    };
  };
}

const SQLSTATE = /^[0-9A-Z]{5}$/;

/**
 * Reads SQLSTATE and constraint out of an error of `pg` or of Prisma; null when it is neither. The only place that
 * knows how each of them wraps it, since Prisma's `meta` is not a stable interface.
 */
export function postgresRefusal(error: unknown): PostgresRefusal | null {
  if (typeof error !== 'object' || error === null) return null;
  const shape = error as PgErrorShape;
  const cause = shape.meta?.driverAdapterError?.cause;
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

const CONNECTION_CODES: readonly string[] = [
  'ECONNREFUSED',
  'ECONNRESET',
  'EPIPE',
  'ETIMEDOUT',
  'P1001',
  'P1017',
  'P2024',
  'P2028',
];
const CONNECTION_MESSAGES =
  /connection terminated|timeout exceeded when trying to connect|cannot use a pool|connection ended|not queryable/i;

/** The database is away, is starting or stopping, or has no connection free. */
export function isUnavailable(error: unknown): boolean {
  const state = postgresRefusal(error)?.sqlState;
  if (state !== undefined && (/^(08|57P)/.test(state) || state === '53300')) return true;
  if (typeof error !== 'object' || error === null) return false;
  const { code, message } = error as { code?: unknown; message?: unknown };
  return (
    (typeof code === 'string' && CONNECTION_CODES.includes(code)) ||
    (typeof message === 'string' && CONNECTION_MESSAGES.test(message))
  );
}
