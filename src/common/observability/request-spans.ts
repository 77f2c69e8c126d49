import {
  type Attributes,
  type Context,
  context as contexts,
  createTraceState,
  ROOT_CONTEXT,
  type Span,
  SpanKind,
  SpanStatusCode,
  TraceFlags,
  type Tracer,
  trace,
} from '@opentelemetry/api';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { contextOf } from '../http/request-hooks.js';
import type { RequestContext } from '../request/request-context.js';
import { tracer } from './spans.js';
import type { TraceParent } from './trace-parent.js';

const KNOWN_METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'CONNECT', 'TRACE'];
const OTHER_METHOD = '_OTHER';
const FIRST_FAULT = 500;

/** Gives each request a span below its caller's, while tracing is on. Called after the hooks that make its context. */
export function addRequestSpans(app: FastifyInstance): void {
  const open = new WeakMap<object, Context>();
  app.addHook('onRequest', (request, reply, done) => {
    const active = tracer();
    if (active === null) {
      done();
      return;
    }
    const known = contextOf(request);
    const parent = contextFrom(known.traceParent);
    const span = startSpan(active, request, known, parent);
    known.traceId = span.spanContext().traceId;
    // Unlike the end of the answer this also comes when the caller has left before it.
    reply.raw.once('close', () => endSpan(span, known, reply));
    const own = trace.setSpan(parent, span);
    open.set(request.raw, own);
    contexts.with(own, done);
  });
  // Reading the body loses the asynchronous context; from here on it is there again.
  app.addHook('preValidation', (request, _reply, done) => {
    const own = open.get(request.raw);
    if (own === undefined) done();
    else contexts.with(own, done);
  });
}

function contextFrom(parent: TraceParent | null): Context {
  if (parent === null) return ROOT_CONTEXT;
  const { traceId, spanId, sampled, state } = parent;
  return trace.setSpanContext(ROOT_CONTEXT, {
    traceId,
    spanId,
    traceFlags: sampled ? TraceFlags.SAMPLED : TraceFlags.NONE,
    isRemote: true,
    ...(state === null ? {} : { traceState: createTraceState(state) }),
  });
}

/** Named and described by the semantic conventions for HTTP servers. The query stays out: it may hold what is private. */
function startSpan(active: Tracer, request: FastifyRequest, known: RequestContext, parent: Context): Span {
  const isKnown = KNOWN_METHODS.includes(request.method);
  const method = isKnown ? request.method : OTHER_METHOD;
  const route = request.routeOptions.url;
  const attributes: Attributes = {
    'http.request.method': method,
    'url.scheme': request.protocol,
    'url.path': known.path,
    'client.address': known.ip,
    'network.protocol.version': request.raw.httpVersion,
    'fabric.request_id': known.requestId,
    ...(isKnown ? {} : { 'http.request.method_original': request.method }),
    ...(route === undefined ? {} : { 'http.route': route }),
    ...(known.userAgent === null ? {} : { 'user_agent.original': known.userAgent }),
  };
  const name = isKnown ? method : 'HTTP';
  return active.startSpan(
    route === undefined ? name : `${name} ${route}`,
    { kind: SpanKind.SERVER, attributes },
    parent,
  );
}

function endSpan(span: Span, { operationId, clusterId }: RequestContext, { raw }: FastifyReply): void {
  if (operationId !== null) span.setAttribute('fabric.operation_id', operationId);
  if (clusterId !== null) span.setAttribute('fabric.cluster_id', clusterId);
  if (raw.headersSent) {
    span.setAttribute('http.response.status_code', raw.statusCode);
    // What the caller did wrong is no error of the server's.
    if (raw.statusCode >= FIRST_FAULT) {
      span.setAttribute('error.type', String(raw.statusCode));
      span.setStatus({ code: SpanStatusCode.ERROR });
    }
  }
  span.end();
}
