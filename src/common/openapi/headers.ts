import type { Reference } from './described-route.js';
import type { JsonSchema } from './json-schema.js';

interface Header {
  description: string;
  schema: JsonSchema;
  example?: unknown;
}

const text: JsonSchema = { type: 'string' };

/** The headers of answers, as they stand under `components.headers`. */
export const HEADERS: Readonly<Record<string, Header>> = {
  Allow: { description: 'The methods that the path takes.', schema: text, example: 'GET, PATCH' },
  ETag: {
    description:
      'Depends on the content only. Where a resource has observed parts it is `"<config>.<observed>"`.',
    schema: text,
    example: '"kZ0h3m0rW3vC7yQeZ6m1nA"',
  },
  'Idempotency-Replayed': {
    description: 'The answer is that of the first call with this `Idempotency-Key`; nothing was done.',
    schema: { type: 'string', const: 'true' },
    example: 'true',
  },
  Link: {
    description: 'The next page (RFC 8288); absent on the last one.',
    schema: text,
    example: '</api/v1/clusters?cursor=c1.eyJ2IjpbXX0>; rel="next"',
  },
  Location: {
    description: 'Path of what was created.',
    schema: text,
    example: '/api/v1/clusters/019ab0c4-7e11-7a52-8d3f-5a0d7f0f3c21',
  },
  RateLimit: {
    description: 'What is left of the quota, and when it is whole again.',
    schema: text,
    example: '"default";r=599;t=60',
  },
  'RateLimit-Policy': {
    description: 'The quota and its window in seconds.',
    schema: text,
    example: '"default";q=600;w=60',
  },
  'Retry-After': {
    description: 'Seconds until a repeat makes sense.',
    schema: { type: 'integer', minimum: 1 },
    example: 1,
  },
  'WWW-Authenticate': {
    description: 'The scheme to authenticate with.',
    schema: text,
    example: 'Bearer realm="fabric"',
  },
  'X-Request-Id': {
    description: 'The id that was sent, or one made for the request; stands in the log and on audit events.',
    schema: text,
    example: '019ab0c4-7e0f-7c31-9b0e-2f6b1c9d4e55',
  },
};

const BY_PROBLEM: Readonly<Record<number, readonly string[]>> = {
  401: ['WWW-Authenticate'],
  429: ['Retry-After', 'RateLimit', 'RateLimit-Policy'],
  503: ['Retry-After'],
};

/** References to headers for responses. */
export const RESPONSE_HEADERS = {
  of: (names: readonly string[]): Record<string, Reference> =>
    Object.fromEntries(names.map((name) => [name, { $ref: `#/components/headers/${name}` }])),
  ofProblem: (status: number): Record<string, Reference> =>
    RESPONSE_HEADERS.of(['X-Request-Id', ...(BY_PROBLEM[status] ?? [])]),
};
