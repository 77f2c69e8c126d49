/** The service gives no usable answer now: not reachable, too slow, overloaded or failing. Worth retrying. */
export class ServerAway extends Error {
  constructor(
    message: string,
    /** What `Retry-After` asked for, in seconds; null when it asked nothing. */
    readonly retryAfterSeconds: number | null = null,
    options?: ErrorOptions,
  ) {
    super(message, options);
    this.name = 'ServerAway';
  }
}

/** The service said no, by a problem document (RFC 9457) or an OAuth error. The message is its `detail`. */
export class ApiRefusal extends Error {
  constructor(
    readonly status: number,
    /** `code` of the problem, or `error` of the OAuth answer. */
    readonly code: string | null,
    detail: string,
    /** `serverTime`, where the refusal may be about the time. */
    readonly serverTime: string | null = null,
    /** Members of the problem beyond those of every problem, and when it may be worth a repeat. */
    readonly more: { extensions: Readonly<Record<string, unknown>>; retryAfterSeconds: number | null } = {
      extensions: {},
      retryAfterSeconds: null,
    },
  ) {
    super(detail);
    this.name = 'ApiRefusal';
  }
}

/** The control plane does not know this identity any more: revoked, or never admitted. Nothing to retry. */
export class IdentityRefused extends Error {
  constructor(detail: string) {
    super(detail);
    this.name = 'IdentityRefused';
  }
}

/** Reads a refusal out of whatever body came with `status`. */
export function refusalFrom(
  status: number,
  body: unknown,
  retryAfterSeconds: number | null = null,
): ApiRefusal {
  const problem = (typeof body === 'object' && body !== null ? body : {}) as Record<string, unknown>;
  const text = (name: string): string | null => {
    const value = problem[name];
    return typeof value === 'string' ? value : null;
  };
  const detail = text('detail') ?? text('error_description') ?? text('title') ?? `HTTP status ${status}`;
  return new ApiRefusal(
    status,
    text('code') ?? text('error'),
    `${detail}${faults(problem.errors)}`,
    text('serverTime'),
    { extensions: problem, retryAfterSeconds },
  );
}

/** The faults of single fields, which say more than the summary above them. */
function faults(errors: unknown): string {
  if (!Array.isArray(errors) || errors.length === 0) return '';
  const lines = errors.slice(0, 5).map((fault: { pointer?: unknown; message?: unknown }) => {
    return `${String(fault.pointer ?? '#')} ${String(fault.message ?? 'is not valid')}`;
  });
  return ` (${lines.join('; ')})`;
}
