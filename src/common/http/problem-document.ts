import { isRetryable, isTimeout, isUnavailable } from '../database/postgres-errors.js';
import { DomainError, type DomainErrorKind } from '../errors/domain-error.js';
import { PROBLEMS, type ProblemCode } from './problems.js';

/** What every 401 says of how to authenticate. */
export const CHALLENGE = 'Bearer realm="fabric"';

/** An RFC 9457 problem document with the headers that go with it. */
export interface ProblemAnswer {
  status: number;
  headers: Record<string, string>;
  body: Record<string, unknown> & { code: ProblemCode };
  /** True for what is a fault of this service and goes into the log with its stack. */
  isFault: boolean;
}

const STATUS: Record<DomainErrorKind, number> = {
  malformed: 400,
  unauthenticated: 401,
  forbidden: 403,
  not_found: 404,
  not_acceptable: 406,
  conflict: 409,
  stale: 412,
  too_large: 413,
  unsupported_media_type: 415,
  range_not_satisfiable: 416,
  invalid: 422,
  too_many_requests: 429,
  unavailable: 503,
};

/** Fastify's own refusals, by its error code or else by its status. */
const FRAMEWORK: Readonly<Record<string, { code: ProblemCode; detail: string }>> = {
  FST_ERR_CTP_BODY_TOO_LARGE: { code: 'body_too_large', detail: 'The body is larger than 1 MiB.' },
  FST_ERR_CTP_INVALID_MEDIA_TYPE: {
    code: 'unsupported_media_type',
    detail: 'A body of this type is not taken here; send application/json.',
  },
  FST_ERR_CTP_EMPTY_TYPE: {
    code: 'unsupported_media_type',
    detail: 'The body has no Content-Type; send application/json.',
  },
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: {
    code: 'malformed_request',
    detail: 'The body is not as long as Content-Length says.',
  },
  FST_ERR_BAD_URL: {
    code: 'malformed_request',
    detail: 'The path has a percent sign that is not followed by two hexadecimal digits of UTF-8.',
  },
  FST_ERR_MAX_PARAM_LENGTH: { code: 'not_found', detail: 'There is nothing under this path.' },
  404: { code: 'not_found', detail: 'There is nothing under this path.' },
  413: { code: 'body_too_large', detail: 'The body is larger than 1 MiB.' },
  415: {
    code: 'unsupported_media_type',
    detail: 'A body of this type is not taken here; send application/json.',
  },
  400: { code: 'malformed_request', detail: 'The request cannot be read.' },
};

/** The problem document for whatever was thrown. Nothing of an unexpected error reaches the caller. */
export function problemFor(error: unknown, request: { path: string; requestId: string }): ProblemAnswer {
  const { status, code, detail, extras, retryAfterSeconds, isFault } = describe(error);
  const headers: Record<string, string> = {};
  if (retryAfterSeconds !== undefined) headers['Retry-After'] = String(retryAfterSeconds);
  if (status === 401) headers['WWW-Authenticate'] = CHALLENGE;
  const body = {
    type: `/problems/${code}`,
    title: PROBLEMS[code].title,
    status,
    detail,
    instance: request.path,
    code,
    requestId: request.requestId,
    ...extras,
  };
  return { status, headers, body, isFault };
}

interface Description {
  status: number;
  code: ProblemCode;
  detail: string;
  extras: Readonly<Record<string, unknown>>;
  retryAfterSeconds?: number | undefined;
  isFault: boolean;
}

function describe(error: unknown): Description {
  if (error instanceof DomainError) {
    const { errors, extensions, retryAfterSeconds } = error.details;
    const extras = { ...extensions, ...(errors === undefined ? {} : { errors }) };
    const retry = retryAfterSeconds ?? (error.kind === 'unavailable' ? 1 : undefined);
    return {
      status: STATUS[error.kind],
      code: error.code,
      detail: error.message,
      extras,
      retryAfterSeconds: retry,
      isFault: false,
    };
  }
  const shape = error as { code?: unknown; statusCode?: unknown; status?: unknown } | null;
  const known = FRAMEWORK[String(shape?.code)] ?? FRAMEWORK[String(shape?.statusCode ?? shape?.status)];
  if (known !== undefined) {
    return { status: PROBLEMS[known.code].status, ...known, extras: {}, isFault: false };
  }
  if (isUnavailable(error) || isTimeout(error) || isRetryable(error)) {
    const detail = 'The database is away or overloaded; nothing was changed.';
    return { status: 503, code: 'unavailable', detail, extras: {}, retryAfterSeconds: 2, isFault: true };
  }
  const detail = 'The service has a fault; it is logged under this request id.';
  return { status: 500, code: 'internal_error', detail, extras: {}, isFault: true };
}
