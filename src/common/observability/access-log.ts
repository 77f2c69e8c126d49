import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { Logger } from 'pino';
import { contextOf } from '../http/request-hooks.js';
import type { RequestContext } from '../request/request-context.js';
import type { Metrics } from './metrics.js';

const READS = ['GET', 'HEAD', 'OPTIONS'];

/** Writes a line for each answered request and counts it. */
export function addAccessLog(fastify: FastifyInstance, logger: Logger, metrics: Metrics): void {
  fastify.addHook('onResponse', (request, reply, done) => {
    const context = contextOf(request);
    const { requestId, traceId, operationId, actor, ip } = context;
    const { method } = request;
    const route = request.routeOptions.url ?? 'unmatched';
    const status = reply.statusCode;
    const seconds = reply.elapsedTime / 1000;
    if (isHeld(request, reply.getHeader('content-type'))) metrics.countHeld(method, route, status);
    else metrics.observeRequest(method, route, status, seconds);
    const line = {
      requestId,
      // By hand: the end of an answer lies outside its request's asynchronous context.
      ...(traceId === null ? {} : { traceId }),
      method,
      route,
      operationId,
      status,
      seconds,
      actor: actor?.id ?? null,
      ip,
    };
    if (isChange(context)) logger.info(line, 'answered');
    else logger.debug(line, 'answered');
    done();
  });
}

/** What a person or a script changed, or tried to. What nodes repeat all day, and what strangers try, is not told. */
function isChange({ method, actor }: RequestContext): boolean {
  if (READS.includes(method)) return false;
  return actor !== null && actor.type !== 'node' && actor.type !== 'anonymous';
}

/** Answers that wait by design; how long they took says nothing about the service's speed. */
function isHeld(request: FastifyRequest, type: unknown): boolean {
  if (typeof type === 'string' && type.startsWith('text/event-stream')) return true;
  const { waitSeconds } = request.query as { waitSeconds?: unknown };
  return Number(waitSeconds ?? 0) > 0;
}
