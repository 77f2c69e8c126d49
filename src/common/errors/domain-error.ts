import type { ProblemCode } from '../http/problems.js';

/** The kinds of failure that a caller can tell apart; each maps to one HTTP status. */
export type DomainErrorKind =
  | 'malformed'
  | 'unauthenticated'
  | 'forbidden'
  | 'not_found'
  | 'not_acceptable'
  | 'conflict'
  | 'stale'
  | 'too_large'
  | 'unsupported_media_type'
  | 'range_not_satisfiable'
  | 'invalid'
  | 'too_many_requests'
  | 'unavailable';

/** One fault of the input: a body member by JSON pointer (`#/name`), or a query parameter by name. */
export type InputFault = { pointer: string; message: string } | { parameter: string; message: string };

/** What an error may carry beside kind, code and message. */
export interface DomainErrorDetails {
  /** Faults of body members or query parameters, shown to the caller. */
  errors?: readonly InputFault[];
  /** Further members of the problem document (RFC 9457 extension members), shown to the caller. */
  extensions?: Readonly<Record<string, unknown>>;
  /** Seconds after which a repeat is worth it; becomes `Retry-After`. */
  retryAfterSeconds?: number;
  /** What really happened, for the log alone; never shown. */
  reason?: string;
  cause?: unknown;
}

/** The only error thrown below the controllers. `message` is safe to show to the caller. */
export class DomainError extends Error {
  readonly details: DomainErrorDetails;

  constructor(
    readonly kind: DomainErrorKind,
    /** Stable snake_case code; a page under `/problems/` explains it. */
    readonly code: ProblemCode,
    message: string,
    details: DomainErrorDetails = {},
  ) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.name = 'DomainError';
    this.details = details;
  }
}

type Maker = (code: ProblemCode, message: string, details?: DomainErrorDetails) => DomainError;

const maker =
  (kind: DomainErrorKind): Maker =>
  (code, message, details) =>
    new DomainError(kind, code, message, details);

/** 400: the request cannot be read as what it claims to be. */
export const malformed = maker('malformed');
/** 401: no valid credential. */
export const unauthenticated = maker('unauthenticated');
/** 403: the caller may know that it exists, but may not do this. */
export const forbidden = maker('forbidden');
/** 404: absent, or the caller may not know. */
export const notFound = maker('not_found');
/** 409: the state forbids it. */
export const conflict = maker('conflict');
/** 412: `If-Match` names another revision. */
export const stale = maker('stale');
/** 413: the body is larger than allowed. */
export const tooLarge = maker('too_large');
/** 415: the body is of a type that this route does not take. */
export const unsupportedMediaType = maker('unsupported_media_type');
/** 416: no byte of it is asked for. */
export const rangeNotSatisfiable = maker('range_not_satisfiable');
/** 422: well-formed but invalid. */
export const invalid = maker('invalid');
/** 429: slow down. */
export const tooManyRequests = maker('too_many_requests');
/** 503: worth repeating later. */
export const unavailable = maker('unavailable');
