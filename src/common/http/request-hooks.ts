import { randomUUID } from 'node:crypto';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { unsupportedMediaType } from '../errors/domain-error.js';
import { parseTraceParent } from '../observability/trace-parent.js';
import { type RequestContext, runInRequest } from '../request/request-context.js';
import { parseForm } from './form-body.js';
import type { BodyConfig } from './operation.js';
import { rememberSentBytes } from './sent-body.js';
import { parseStrictJson } from './strict-json.js';

/** Largest body that is read, save where a route streams. */
export const BODY_LIMIT_BYTES = 1_048_576;

/** By which bodies that are not read go past the parsers; nothing that callers send. */
const BYTES_TYPE = 'application/x-fabric-bytes';

const SANE_REQUEST_ID = /^[\x21-\x7e]{1,128}$/;
const contexts = new WeakMap<object, RequestContext>();

/** What is known of a Fastify request; made when it arrives. */
export function contextOf(request: FastifyRequest): RequestContext {
  const context = contexts.get(request.raw);
  if (context === undefined) throw new Error('the request has no context');
  return context;
}

/** Gives each request its context and id, and reads bodies strictly. Called before any route is known. */
export function addRequestHooks(app: FastifyInstance): void {
  app.addHook('onRequest', (request, reply, done) => {
    const context = openContext(request);
    void reply.header('X-Request-Id', context.requestId);
    // Whatever its type is called: who streams must not be read before it is known who they are.
    if (bodyOf(request).takesBytes === true) request.headers = { 'content-type': BYTES_TYPE };
    runInRequest(context, done);
  });
  // Reading the body loses the asynchronous context; from here on it is there again.
  app.addHook('preValidation', (request, _reply, done) => runInRequest(contextOf(request), done));
  app.removeAllContentTypeParsers();
  const json = { parseAs: 'buffer' as const, bodyLimit: BODY_LIMIT_BYTES };
  app.addContentTypeParser(
    /^application\/(json|merge-patch\+json|vnd\.dsse\.envelope\.v1\+json)(;|$)/,
    json,
    async (request: FastifyRequest, body: Buffer) => {
      if (bodyOf(request).keepsBytes === true) rememberSentBytes(request, body);
      return body.length === 0 ? undefined : parseStrictJson(body);
    },
  );
  app.addContentTypeParser(BYTES_TYPE, async (request: FastifyRequest) => {
    if (bodyOf(request).takesBytes !== true) throw unsupportedType(request);
  });
  app.addContentTypeParser(
    'application/x-www-form-urlencoded',
    json,
    async (_request: FastifyRequest, body: Buffer) => parseForm(body.toString('utf8')),
  );
  app.addContentTypeParser('*', json, async (request: FastifyRequest, body: Buffer) => {
    if (body.length === 0) return undefined;
    throw unsupportedType(request);
  });
}

function bodyOf(request: FastifyRequest): BodyConfig {
  return (request.routeOptions.config ?? {}) as BodyConfig;
}

function unsupportedType(request: FastifyRequest) {
  return unsupportedMediaType(
    'unsupported_media_type',
    `A body of type ${request.headers['content-type'] ?? '(none)'} is not taken here; send application/json.`,
  );
}

/** Makes the context of a request that has just arrived. */
export function openContext(request: FastifyRequest): RequestContext {
  const context = newContext(request);
  contexts.set(request.raw, context);
  return context;
}

/** The id of a request: the one that it came with, where that is sane, or a new one. */
export function requestIdOf(sent: string | string[] | null | undefined): string {
  // Not a sortable id like those of rows: each call needs one, and these are made many at a time.
  return typeof sent === 'string' && SANE_REQUEST_ID.test(sent) ? sent : randomUUID();
}

function newContext(request: FastifyRequest): RequestContext {
  const header = (name: string) => {
    const value = request.headers[name];
    return typeof value === 'string' ? value : null;
  };
  const traceParent = parseTraceParent(header('traceparent'), header('tracestate'));
  const mark = request.url.indexOf('?');
  const [path, query] =
    mark < 0 ? [request.url, ''] : [request.url.slice(0, mark), request.url.slice(mark + 1)];
  return {
    requestId: requestIdOf(header('x-request-id')),
    traceParent,
    traceId: traceParent?.traceId ?? null,
    method: request.method,
    path,
    query,
    ip: request.ip,
    userAgent: header('user-agent'),
    ifMatch: header('if-match'),
    planHash: header('x-plan-hash'),
    operationId: null,
    dryRun: false,
    idempotency: null,
    actor: null,
    clusterId: null,
    highRisk: false,
    guardedByAuthority: false,
    unit: null,
  };
}
