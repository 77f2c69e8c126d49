import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { PROBLEMS } from '../../src/common/http/problems.js';
import { newId } from '../../src/common/ids/uuid.js';
import type { Answer, Api } from '../support/api.js';
import { type ControlPlane, startControlPlane } from '../support/control-plane.js';
import { given, unique } from '../support/given.js';
import { rawHttp } from '../support/raw-http.js';

const limits = { unknownCredentialsPerMinute: 10_000, principalPerMinute: 100_000 };
const NO_UUID = 'not-a-uuid';

let controlPlane: ControlPlane;
let api: Api;
beforeAll(async () => {
  controlPlane = await startControlPlane({ config: { limits } });
  ({ api } = controlPlane);
});
afterAll(() => controlPlane?.close());

const json = { 'content-type': 'application/json' };

/** Checks what every problem document has. */
function expectProblem(
  { status, headers, body }: Answer,
  wanted: { status: number; code: string; instance?: string },
): void {
  expect({ status, code: body.code, detail: body.detail }).toMatchObject({
    status: wanted.status,
    code: wanted.code,
  });
  expect(headers.get('content-type')).toMatch(/^application\/problem\+json/);
  expect(body).toMatchObject({
    type: `/problems/${wanted.code}`,
    title: expect.stringMatching(/./),
    status: wanted.status,
    detail: expect.stringMatching(/./),
    requestId: headers.get('x-request-id'),
  });
  if (wanted.instance !== undefined) expect(body.instance).toBe(wanted.instance);
  expect(JSON.stringify(body)).not.toMatch(/\bat .*\.[jt]s:|node_modules|SELECT|INSERT/);
}

/** The operations that are called wrongly below. */
const post = (body: string | Uint8Array, headers: Record<string, string> = json) =>
  api.post('/clusters', body, headers);

describe('a request that names nothing', () => {
  it.each([
    ['an unknown path', '/nothing-here'],
    ['an unknown path below a known one', '/clusters/a/b/c/d'],
    ['a path outside the API', '//nothing'],
    ['the root', '//'],
    ['a path with two slashes', '//api/v1//clusters'],
  ])('is answered 404: %s', async (_, path) => {
    expectProblem(await api.get(path), { status: 404, code: 'not_found' });
  });

  it('is answered 404 for ids that are no ids', async () => {
    const { id } = await given(controlPlane).cluster();
    for (const path of [
      `/clusters/${NO_UUID.toUpperCase()}`,
      `/clusters/${newId()}`,
      `/clusters/${id}x`,
      '/clusters/%00',
      '/clusters/%F0%9F%92%A9',
      `/clusters/${'a'.repeat(5000)}`,
      `/clusters/${id}/nodes/${NO_UUID}`,
      `/clusters/${id}/nodes/%00`,
      `/clusters/${id}/nodes/${newId()}`,
      `/api-tokens/${NO_UUID}`,
      `/api-tokens/%27%3B--`,
      '/products/%00',
      '/products/a%00b/releases',
    ]) {
      expectProblem(await api.get(path), { status: 404, code: 'not_found' });
    }
  });

  it('does not look up what a prototype has', async () => {
    for (const name of ['__proto__', 'constructor', 'toString', 'hasOwnProperty']) {
      expectProblem(await api.get(`//problems/${name}`), { status: 404, code: 'not_found' });
    }
  });
});

describe('a wrong method', () => {
  it('is answered 405 with what the path takes', async () => {
    const answer = await api.delete('/clusters');
    expectProblem(answer, { status: 405, code: 'method_not_allowed', instance: '/api/v1/clusters' });
    expect(answer.headers.get('allow')).toBe('GET, HEAD, POST');
  });

  it('is answered 405 on paths with parameters', async () => {
    const answer = await api.post(`/clusters/${newId()}/policy`, {});
    expectProblem(answer, { status: 405, code: 'method_not_allowed' });
    expect(answer.headers.get('allow')).toBe('GET, HEAD, PUT');
  });

  it('is answered 405 for methods that this service never takes', async () => {
    const answer = await rawHttp(
      controlPlane.url,
      'OPTIONS /api/v1/clusters HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n',
    );
    expect(answer.status).toBe(405);
    expect(answer.headers.allow).toBe('GET, HEAD, POST');
  });

  it('is no method at all: HEAD answers like GET without a body', async () => {
    const answer = await fetch(`${controlPlane.url}/api/v1/clusters`, {
      method: 'HEAD',
      headers: { authorization: `Bearer ${controlPlane.ownerToken}` },
    });
    expect(answer.status).toBe(200);
    expect(await answer.text()).toBe('');
  });
});

describe('a body that cannot be read', () => {
  const deep = (levels: number) => `${'{"a":'.repeat(levels)}1${'}'.repeat(levels)}`;
  it.each<[string, string | Uint8Array, string]>([
    ['half of a document', '{"name":', 'malformed_json'],
    ['two documents', '{}{}', 'malformed_json'],
    ['single quotes', "{'name':'x'}", 'malformed_json'],
    [
      'bytes that are not UTF-8',
      Uint8Array.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d]),
      'malformed_json',
    ],
    ['a byte order mark', '\uFEFF{}', 'malformed_json'],
    ['33 levels', deep(33), 'json_too_deep'],
    ['200,000 levels', '['.repeat(200_000), 'json_too_deep'],
    ['a member twice', '{"name":"a","name":"b"}', 'duplicate_key'],
    ['a member twice, once escaped', '{"name":"a","n\\u0061me":"b"}', 'duplicate_key'],
    ['__proto__', '{"name":"a","__proto__":{"admin":true}}', 'forbidden_key'],
    ['__proto__ further down', '{"name":"a","metadata":{"__proto__":{}}}', 'forbidden_key'],
    ['a NUL character', '{"name":"a\\u0000b"}', 'invalid_string'],
    ['a NUL character in a name', '{"labels":{"a\\u0000":"b"}}', 'invalid_string'],
    ['half of a surrogate pair', '{"name":"\\ud83d"}', 'invalid_string'],
    ['an infinite number', '{"metadata":{"n":1e999}}', 'invalid_number'],
  ])('is answered 400: %s', async (_, body, code) => {
    expectProblem(await post(body), { status: 400, code, instance: '/api/v1/clusters' });
  });

  it('may nest 32 levels', async () => {
    const answer = await post(`{"name":"deep","slug":"${unique('deep')}","metadata":${deep(31)}}`);
    expect(answer.status).toBe(201);
  });

  it('never quotes the body', async () => {
    const answer = await post('{"token":"sesame-open", oops}');
    expectProblem(answer, { status: 400, code: 'malformed_json' });
    expect(JSON.stringify(answer.body)).not.toContain('sesame');
  });
});

describe('a body that is too large', () => {
  const large = `{"name":"${'a'.repeat(1_048_577)}"}`;
  it('is answered 413 by its Content-Length', async () => {
    expectProblem(await post(large), { status: 413, code: 'body_too_large' });
  });

  it('is answered 413 when it comes in chunks', async () => {
    const chunk = 'a'.repeat(65_536);
    const answer = await rawHttp(
      controlPlane.url,
      `POST /api/v1/clusters HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${controlPlane.ownerToken}\r\n` +
        `Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n9\r\n{"name":"\r\n` +
        `${`10000\r\n${chunk}\r\n`.repeat(17)}0\r\n\r\n`,
    );
    expect(answer.status).toBe(413);
    expect(JSON.parse(answer.body)).toMatchObject({ code: 'body_too_large', status: 413 });
  });

  it('is taken up to one MiB', async () => {
    const padding = ' '.repeat(1_048_576 - 2);
    expectProblem(await post(`{${padding}}`), { status: 422, code: 'invalid_request' });
  });
});

describe('a body of the wrong type', () => {
  it.each([
    ['text/plain', '{"name":"x"}'],
    ['application/xml', '<name>x</name>'],
    ['application/x-www-form-urlencoded', 'name=x'],
    ['multipart/form-data; boundary=x', '--x--'],
    ['application/jsonp', '{"name":"x"}'],
    ['nonsense', '{"name":"x"}'],
  ])('is answered 415: %s', async (type, body) => {
    expectProblem(await post(body, { 'content-type': type }), {
      status: 415,
      code: 'unsupported_media_type',
    });
  });

  it('is answered 415 without a type', async () => {
    const answer = await api.post('/clusters', new TextEncoder().encode('{"name":"x"}'));
    expectProblem(answer, { status: 415, code: 'unsupported_media_type' });
  });

  it.each([
    'application/json; charset=utf-8',
    'application/json ;charset=UTF-8',
    'Application/JSON',
    'application/merge-patch+json',
  ])('is JSON all the same: %s', async (type) => {
    const answer = await post(JSON.stringify({ name: unique('typed') }), { 'content-type': type });
    expect(answer.status).toBe(201);
  });
});

describe('a body that is invalid', () => {
  it.each<[string, string, string]>([
    ['nothing at all', '', '#'],
    ['null', 'null', '#'],
    ['an array', '[]', '#'],
    ['a number', '7', '#'],
    ['an empty object', '{}', '#/name'],
    ['an unknown member', '{"name":"x","colour":"red"}', '#/colour'],
    ['an unknown member that a prototype has', '{"name":"x","constructor":{}}', '#/constructor'],
    ['a member with a slash', '{"name":"x","a/b~c":1}', '#/a~1b~0c'],
    ['a text where a number is due', '{"name":7}', '#/name'],
    ['a text of control characters', '{"name":"a\\u0007b"}', '#/name'],
    ['a label that is no label', '{"name":"x","labels":{"a b":"c"}}', '#/labels/a%20b'],
    ['a name of a megabyte', `{"name":"${'a'.repeat(1_000_000)}"}`, '#/name'],
  ])('is answered 422 with the place: %s', async (_, body, pointer) => {
    const answer = await post(body);
    expectProblem(answer, { status: 422, code: 'invalid_request' });
    expect(answer.body.errors.map((error: { pointer: string }) => error.pointer)).toContain(pointer);
  });

  it('lists at most 50 faults of 10,000', async () => {
    const labels = Object.fromEntries(Array.from({ length: 10_000 }, (_, index) => [`l ${index}`, 'x']));
    const answer = await api.post('/clusters', { name: 'x', labels });
    expectProblem(answer, { status: 422, code: 'invalid_request' });
    expect(answer.body.errors).toHaveLength(50);
  });

  it('is one on an operation that takes none', async () => {
    const { id } = await given(controlPlane).cluster();
    const answer = await api.delete(`/clusters/${id}`, { force: true });
    expectProblem(answer, { status: 422, code: 'invalid_request' });
  });
});

describe('labels and metadata', () => {
  it('stay within their limits however they are merged', async () => {
    const { id } = await given(controlPlane).cluster();
    const labels = (prefix: string) =>
      Object.fromEntries(Array.from({ length: 40 }, (_, index) => [`${prefix}${index}`, 'x']));
    expect((await api.patch(`/clusters/${id}`, { labels: labels('a') })).status).toBe(200);
    const answer = await api.patch(`/clusters/${id}`, { labels: labels('b') });
    expectProblem(answer, { status: 422, code: 'invalid_request' });
    expect(answer.body.errors[0].pointer).toBe('#/labels');

    const text = 'x'.repeat(10_000);
    expect((await api.patch(`/clusters/${id}`, { metadata: { a: text } })).status).toBe(200);
    const tooMuch = await api.patch(`/clusters/${id}`, { metadata: { b: text } });
    expectProblem(tooMuch, { status: 422, code: 'invalid_request' });
    expect(tooMuch.body.errors[0].pointer).toBe('#/metadata');
  });
});

describe('a query', () => {
  it.each<[string, string, string]>([
    ['an unknown parameter', 'colour=red', 'colour'],
    ['a parameter twice', 'q=a&q=b', 'q'],
    ['a limit twice', 'limit=1&limit=2', 'limit'],
    ['__proto__', '__proto__=1', '__proto__'],
    ['constructor', 'constructor=1', 'constructor'],
    ['a NUL character', 'q=a%00b', 'q'],
    ['a text that is too long', `q=${'a'.repeat(101)}`, 'q'],
    ['a value outside the list', 'status=gone', 'status'],
    ['a dry run of a read', 'dryRun=true', 'dryRun'],
  ])('is answered 400 with the parameter: %s', async (_, query, parameter) => {
    const answer = await api.get(`/clusters?${query}`);
    expectProblem(answer, { status: 400, code: 'invalid_parameter', instance: '/api/v1/clusters' });
    expect(answer.body.errors[0].parameter).toBe(parameter);
  });

  it('is refused where an operation takes none', async () => {
    const answer = await api.get('/me?verbose=true');
    expectProblem(answer, { status: 400, code: 'invalid_parameter' });
    expect(answer.body.errors).toEqual([{ parameter: 'verbose', message: expect.any(String) }]);
  });

  it('knows no dry run but true and false', async () => {
    const answer = await api.post('/clusters?dryRun=yes', { name: 'x' });
    expectProblem(answer, { status: 400, code: 'invalid_parameter' });
    expect((await api.post('/clusters?dryRun=true&dryRun=true', { name: 'x' })).status).toBe(400);
  });

  it('may hold bytes that are not UTF-8 without harm', async () => {
    expect((await api.get('/clusters?q=%ff%fe')).status).toBe(200);
    expect((await api.get('/clusters?q=%zz')).status).toBe(200);
    expect((await api.get('/clusters?q=100%25')).status).toBe(200);
  });
});

describe('an Accept header', () => {
  it.each([
    'text/html',
    'application/xml',
    'application/json;q=0',
    'text/*',
    '*/*;q=0',
    'application/json;q=0, */*',
  ])('that leaves no form is answered 406: %s', async (accept) => {
    expectProblem(await api.get('/clusters', { accept }), { status: 406, code: 'not_acceptable' });
  });

  it.each([
    '*/*',
    'application/*',
    'application/json',
    'text/html, */*;q=0.1',
    'application/problem+json',
    'APPLICATION/JSON',
    '',
  ])('that leaves one is served: %s', async (accept) => {
    expect((await api.get('/clusters', { accept })).status).toBe(200);
  });
});

describe('credentials', () => {
  it.each([
    ['none', null],
    ['one of nobody', 'x'.repeat(40)],
    ['one that looks like a token', `fab_${'a'.repeat(22)}_${'b'.repeat(49)}`],
    ['one that looks like a JWT', 'eyJhbGciOiJub25lIn0.e30.'],
    ['one of 8,000 characters', 'x'.repeat(8000)],
  ])('that are %s are answered 401 with the way to authenticate', async (_, token) => {
    const answer = await api.as(token).get('/me');
    expectProblem(answer, { status: 401, code: 'unauthenticated' });
    expect(answer.headers.get('www-authenticate')).toMatch(/^Bearer/);
  });
});

describe('bytes that are no request', () => {
  it.each([
    [
      'a path with a broken percent sign',
      `GET /%zz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`,
      400,
      'malformed_request',
    ],
    [
      'a path that is not UTF-8',
      `GET /api/v1/clusters/%ff HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`,
      400,
      'malformed_request',
    ],
    ['garbage', '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03', 400, 'malformed_request'],
    ['an unknown method', 'BREW /pot HTTP/1.1\r\nHost: x\r\n\r\n', 400, 'malformed_request'],
    [
      'two lengths',
      'POST /api/v1/clusters HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab',
      400,
      'malformed_request',
    ],
    [
      'a length beside chunks',
      'POST /api/v1/clusters HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
      400,
      'malformed_request',
    ],
    [
      'a chunk of no size',
      'POST /api/v1/clusters HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n',
      400,
      'malformed_request',
    ],
    [
      'a header of 100,000 characters',
      `GET / HTTP/1.1\r\nHost: x\r\nA: ${'a'.repeat(100_000)}\r\n\r\n`,
      431,
      'headers_too_large',
    ],
    [
      'a path of 100,000 characters',
      `GET /${'a'.repeat(100_000)} HTTP/1.1\r\nHost: x\r\n\r\n`,
      431,
      'headers_too_large',
    ],
  ])('are answered with a problem document: %s', async (_, bytes, status, code) => {
    const answer = await rawHttp(controlPlane.url, Buffer.from(bytes, 'latin1'));
    expect({ ...answer, body: JSON.parse(answer.body) }).toMatchObject({
      status,
      headers: { 'content-type': expect.stringMatching(/^application\/problem\+json/) },
      body: { type: `/problems/${code}`, code, status, requestId: answer.headers['x-request-id'] },
    });
  });

  it('do not end the service', async () => {
    const hostile = [
      '',
      '\r\n'.repeat(50),
      'GET',
      'GET / HTTP/1.1\r\n',
      'GET / HTTP/9.9\r\n\r\n',
      'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
      'CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n',
      '\0'.repeat(5000),
    ];
    await Promise.all(hostile.map((bytes) => rawHttp(controlPlane.url, bytes)));
    const cut = `POST /api/v1/clusters HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${controlPlane.ownerToken}\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"name":`;
    await rawHttp(controlPlane.url, cut);
    expect((await api.get('//livez')).status).toBe(200);
    expect((await api.get('/clusters')).status).toBe(200);
  });
});

describe('problem pages', () => {
  it('say cause and remedy for every code', async () => {
    for (const [code, { status, title }] of Object.entries(PROBLEMS)) {
      const answer = await api.as(null).get(`//problems/${code}`);
      expect(answer.status).toBe(200);
      expect(answer.body).toEqual({
        code,
        status,
        title,
        cause: expect.stringMatching(/\.$/),
        remedy: expect.stringMatching(/\S/),
      });
    }
  });
});

describe('the request id', () => {
  it('is taken from the caller, answered, and stands on the audit event', async () => {
    const requestId = `trace-${newId()}`;
    const answer = await api.post('/clusters', { name: unique('traced') }, { 'x-request-id': requestId });
    expect(answer.headers.get('x-request-id')).toBe(requestId);
    const rows = await controlPlane.database.query(`SELECT action FROM audit_events WHERE request_id = $1`, [
      requestId,
    ]);
    expect(rows).toEqual([{ action: 'cluster.created' }]);
  });

  it('is made when there is none', async () => {
    const answer = await api.get('//livez');
    expect(answer.headers.get('x-request-id')).toMatch(/^[0-9a-f-]{36}$/);
  });

  it.each([
    ['spaces', 'a b'],
    ['more than 128 characters', 'a'.repeat(129)],
    ['characters beyond ASCII', 'caf\u00e9'],
    ['nothing', ''],
  ])('is made anew instead of one with %s', async (_, sent) => {
    const answer = await api.get('/nothing', { 'x-request-id': sent });
    expect(answer.headers.get('x-request-id')).toMatch(/^[0-9a-f-]{36}$/);
    expect(answer.body.requestId).toBe(answer.headers.get('x-request-id'));
  });
});
