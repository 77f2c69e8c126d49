import { createParamDecorator, type ExecutionContext } from '@nestjs/common';
import type { FastifyRequest } from 'fastify';
import { notFound } from '../errors/domain-error.js';
import { contextOf } from '../http/request-hooks.js';
import { isUuid } from '../ids/uuid.js';
import type { Actor } from '../request/actor.js';
import type { NodePrincipal, Principal } from './principal.js';

const principals = new WeakMap<object, Principal>();

/** Remembers who is calling; the guard's part. */
export function setPrincipal(request: FastifyRequest, principal: Principal): void {
  principals.set(request.raw, principal);
}

/** Who is calling. @throws Error on a route without authentication */
export function principalOf(request: FastifyRequest): Principal {
  const principal = principals.get(request.raw);
  if (principal === undefined) throw new Error('the route has no principal');
  return principal;
}

const requestOf = (execution: ExecutionContext) => execution.switchToHttp().getRequest<FastifyRequest>();

/** The caller as the audit log names it. */
export const CurrentActor = createParamDecorator(
  (_: unknown, execution: ExecutionContext): Actor => principalOf(requestOf(execution)).actor,
);

/** The caller with what it may do. */
export const CurrentPrincipal = createParamDecorator(
  (_: unknown, execution: ExecutionContext): Principal => principalOf(requestOf(execution)),
);

/** The calling node. */
export const CurrentNode = createParamDecorator((_: unknown, execution: ExecutionContext): NodePrincipal => {
  const { node } = principalOf(requestOf(execution));
  if (node === null) throw new Error('the route is not for nodes');
  return node;
});

/** The id of the cluster that the path names. */
export const ClusterId = createParamDecorator((_: unknown, execution: ExecutionContext): string => {
  const { clusterId } = contextOf(requestOf(execution));
  if (clusterId === null) throw new Error('the path names no cluster');
  return clusterId;
});

/** The query as its schema made it. */
export const ValidQuery = createParamDecorator(
  (_: unknown, execution: ExecutionContext): unknown => requestOf(execution).query,
);

/** A UUID that the path names, such as `{node}`. Anything else names nothing: 404. @throws not_found */
export const PathId = createParamDecorator((name: string, execution: ExecutionContext): string => {
  const value = (requestOf(execution).params as Record<string, string | undefined>)[name];
  if (value === undefined || !isUuid(value)) throw notFound('not_found', `There is no such ${name}.`);
  return value.toLowerCase();
});
