import { describe, expect, it } from '@jest/globals';
import {
  conflict,
  forbidden,
  invalid,
  malformed,
  notFound,
  stale,
  tooManyRequests,
  unauthenticated,
  unavailable,
} from '../errors/domain-error.js';
import { problemFor } from './problem-document.js';
import { PROBLEMS } from './problems.js';

const request = { path: '/api/v1/x', requestId: 'r-1' };
const withCode = (code: string, message = 'secret inside') => Object.assign(new Error(message), { code });

describe('a problem document', () => {
  it.each([
    [malformed('invalid_header', 'm'), 400],
    [unauthenticated('unauthenticated', 'm'), 401],
    [forbidden('forbidden', 'm'), 403],
    [notFound('not_found', 'm'), 404],
    [conflict('conflict', 'm'), 409],
    [stale('precondition_failed', 'm'), 412],
    [invalid('invalid_request', 'm'), 422],
    [tooManyRequests('rate_limited', 'm'), 429],
    [unavailable('unavailable', 'm'), 503],
  ])('tells of %s with status %i', (error, status) => {
    const answer = problemFor(error, request);
    expect(answer).toMatchObject({ status, isFault: false });
    expect(answer.body).toEqual({
      type: `/problems/${error.code}`,
      title: PROBLEMS[error.code].title,
      status,
      detail: 'm',
      instance: '/api/v1/x',
      code: error.code,
      requestId: 'r-1',
    });
  });

  it('says how to authenticate, and when to come back', () => {
    expect(problemFor(unauthenticated('unauthenticated', 'm'), request).headers).toHaveProperty(
      'WWW-Authenticate',
    );
    expect(problemFor(unavailable('unavailable', 'm'), request).headers).toEqual({ 'Retry-After': '1' });
    const limited = tooManyRequests('rate_limited', 'm', { retryAfterSeconds: 17 });
    expect(problemFor(limited, request).headers).toEqual({ 'Retry-After': '17' });
  });

  it('carries faults and further members, and never reason and cause', () => {
    const error = invalid('invalid_request', 'm', {
      errors: [{ pointer: '#/a', message: 'b' }],
      extensions: { hint: 1 },
      reason: 'secret',
      cause: new Error('secret'),
    });
    expect(problemFor(error, request).body).toMatchObject({
      errors: [{ pointer: '#/a', message: 'b' }],
      hint: 1,
    });
    expect(JSON.stringify(problemFor(error, request))).not.toContain('secret');
  });

  it.each([
    ['FST_ERR_CTP_BODY_TOO_LARGE', 413, 'body_too_large'],
    ['FST_ERR_CTP_INVALID_MEDIA_TYPE', 415, 'unsupported_media_type'],
    ['FST_ERR_BAD_URL', 400, 'malformed_request'],
    ['FST_ERR_MAX_PARAM_LENGTH', 404, 'not_found'],
    ['ECONNREFUSED', 503, 'unavailable'],
    ['57P01', 503, 'unavailable'],
    ['55P03', 503, 'unavailable'],
    ['57014', 503, 'unavailable'],
    ['40P01', 503, 'unavailable'],
    ['40001', 503, 'unavailable'],
    ['42P01', 500, 'internal_error'],
    ['23505', 500, 'internal_error'],
    ['ENOENT', 500, 'internal_error'],
  ])('translates %s without its message', (code, status, problem) => {
    const answer = problemFor(withCode(code), request);
    expect(answer.body).toMatchObject({ status, code: problem });
    expect(JSON.stringify(answer)).not.toContain('secret');
    expect(answer.isFault).toBe(status >= 500);
  });

  it.each([undefined, null, 'text', 7, {}, [], new Error('secret'), Object.create(null)])(
    'is internal_error for %p',
    (thrown) => {
      const answer = problemFor(thrown, request);
      expect(answer).toMatchObject({ status: 500, isFault: true, body: { code: 'internal_error' } });
      expect(JSON.stringify(answer)).not.toContain('secret');
    },
  );
});
