import { type CanActivate, type ExecutionContext, Inject, Injectable } from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { Authenticators } from '../../common/auth/authenticators.js';
import { CLUSTER_RESOLVER, type ClusterResolver } from '../../common/auth/cluster-resolver.js';
import type { Permission } from '../../common/auth/permissions.js';
import { PERMISSIONS } from '../../common/auth/permissions.js';
import { clustersWith, holds, maySee, type Principal } from '../../common/auth/principal.js';
import { setPrincipal } from '../../common/auth/request-principal.js';
import { DomainError, forbidden, notFound, unauthenticated } from '../../common/errors/domain-error.js';
import { isAcceptable } from '../../common/http/accept.js';
import { isMutation, OPERATION, type Operation } from '../../common/http/operation.js';
import { RateLimits } from '../../common/http/rate-limits.js';
import { contextOf } from '../../common/http/request-hooks.js';
import type { RequestContext } from '../../common/request/request-context.js';
import { BootstrapUses } from './bootstrap-uses.js';
import { highRiskCredentialRequired } from './high-risk.js';

/** The bootstrap token may hold any characters; Node hands each byte over as one. */
const BEARER = /^Bearer +(\S.{0,8191})$/i;

/** Stands before every route: who is calling, how often, and whether they may. */
@Injectable()
export class AccessGuard implements CanActivate {
  constructor(
    private readonly authenticators: Authenticators,
    private readonly limits: RateLimits,
    private readonly bootstrapUses: BootstrapUses,
    @Inject(CLUSTER_RESOLVER) private readonly clusters: ClusterResolver,
  ) {}

  async canActivate(execution: ExecutionContext): Promise<boolean> {
    const http = execution.switchToHttp();
    const request = http.getRequest<FastifyRequest>();
    const operation = Reflect.getMetadata(OPERATION, execution.getHandler()) as Operation | undefined;
    if (operation === undefined) throw notFound('not_found', 'There is nothing under this path.');
    const context = contextOf(request);
    context.operationId = operation.id;
    context.highRisk = operation.highRisk === true;
    context.guardedByAuthority = operation.guardedByAuthority === true;
    context.dryRun = isDryRun(operation, request);
    if (!isAcceptable(request.headers.accept, operation.responseType)) throw notAcceptable();
    if (operation.access === 'public') {
      await this.resolveCluster(request, context);
      return true;
    }
    const principal = await this.authenticate(request, context);
    setPrincipal(request, principal);
    context.actor = principal.actor;
    await this.limits.spend(principal, http.getResponse<FastifyReply>());
    if (context.dryRun || !isMutation(operation, context.method)) await this.bootstrapUses.note(context);
    await this.resolveCluster(request, context);
    authorize(operation, context, principal);
    return true;
  }

  private async authenticate(request: FastifyRequest, context: RequestContext): Promise<Principal> {
    const credential = BEARER.exec(request.headers.authorization ?? '')?.[1];
    if (credential === undefined) {
      throw unauthenticated('unauthenticated', 'Send a bearer token in the Authorization header.');
    }
    const answer = await this.authenticators.authenticate(credential, context);
    if ('principal' in answer) return answer.principal;
    if ('unknown' in answer) await this.limits.countUnknown(context.ip);
    const reason = 'unknown' in answer ? answer.unknown : answer.refused;
    throw unauthenticated('unauthenticated', 'The bearer token is not valid.', { reason });
  }

  private async resolveCluster(request: FastifyRequest, context: RequestContext): Promise<void> {
    const { cluster } = request.params as { cluster?: string };
    if (cluster === undefined) return;
    context.clusterId = await this.clusters.resolve(cluster);
    if (context.clusterId === null) throw noSuchCluster();
  }
}

function authorize(operation: Operation, context: RequestContext, principal: Principal): void {
  const { access } = operation;
  if (access === 'public') return;
  if (access === 'node') {
    if (principal.node === null) throw forbidden('forbidden', 'Only node agents may call this.');
    context.clusterId = principal.node.clusterId;
    return;
  }
  if (principal.node !== null)
    throw forbidden('forbidden', 'A node may only call what is under /node-agents/me.');
  if (context.clusterId !== null && !maySee(principal, context.clusterId)) throw noSuchCluster();
  if (access !== 'authenticated' && !isAllowed(principal, access.permission, context)) {
    const { permission } = access;
    throw forbidden('forbidden', `This needs the permission ${permission}.`, { extensions: { permission } });
  }
  // A dry run leaves nothing behind, so it needs the permission and no more.
  if (operation.highRisk === true && !principal.highRisk && !context.dryRun)
    throw highRiskCredentialRequired();
}

/** A permission over one cluster lets its holder call cluster-wide lists; the service shows only those clusters. */
function isAllowed(principal: Principal, permission: Permission, context: RequestContext): boolean {
  if (PERMISSIONS[permission].scope === 'platform') return holds(principal, permission, null);
  if (context.clusterId !== null) return holds(principal, permission, context.clusterId);
  const clusters = clustersWith(principal, permission);
  return clusters === null || clusters.length > 0;
}

/** The pipeline reads the parameter the same way, and refuses what is neither true nor false. */
function isDryRun(operation: Operation, request: FastifyRequest): boolean {
  const { dryRun } = request.query as { dryRun?: unknown };
  const isOfPeople = operation.access !== 'node' && operation.access !== 'public';
  return isOfPeople && isMutation(operation, request.method) && dryRun === 'true';
}

function noSuchCluster() {
  return notFound('not_found', 'There is no such cluster.');
}

function notAcceptable() {
  return new DomainError(
    'not_acceptable',
    'not_acceptable',
    'The answer has no form that the Accept header allows.',
  );
}
