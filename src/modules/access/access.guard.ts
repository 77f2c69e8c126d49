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
import { OPERATION, type Operation } from '../../common/http/operation.js';
import { RateLimits } from '../../common/http/rate-limits.js';
import { contextOf } from '../../common/http/request-hooks.js';
import type { RequestContext } from '../../common/request/request-context.js';
import { Transactor } from '../../common/transaction/transactor.js';
import './access.audit.js';

const BEARER = /^Bearer +([\x21-\x7e]{1,8192})$/i;

/** Stands before every route: who is calling, how often, and whether they may. */
@Injectable()
export class AccessGuard implements CanActivate {
  constructor(
    private readonly authenticators: Authenticators,
    private readonly limits: RateLimits,
    private readonly transactor: Transactor,
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
    if (!isAcceptable(request.headers.accept, operation.responseType)) throw notAcceptable();
    if (operation.access === 'public') {
      await this.resolveCluster(request, context);
      return true;
    }
    const principal = await this.authenticate(request, context);
    setPrincipal(request, principal);
    context.actor = principal.actor;
    await this.limits.spend(principal, http.getResponse<FastifyReply>());
    await this.resolveCluster(request, context);
    await this.authorize(operation, context, principal);
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

  private async authorize(operation: Operation, context: RequestContext, principal: Principal): Promise<void> {
    const { access } = operation;
    if (access === 'public') return;
    if (access === 'node') {
      if (principal.node === null) throw forbidden('forbidden', 'Only node agents may call this.');
      context.clusterId = principal.node.clusterId;
      return;
    }
    if (principal.node !== null) throw forbidden('forbidden', 'A node may only call what is under /node-agents/me.');
    if (access === 'authenticated') return;
    const { permission } = access;
    if (context.clusterId !== null && !maySee(principal, context.clusterId)) throw noSuchCluster();
    if (!isAllowed(principal, permission, context)) {
      await this.recordDenied(operation, context, principal, permission);
      throw forbidden('forbidden', `This needs the permission ${permission}.`, { extensions: { permission } });
    }
    if (operation.highRisk === true && !principal.highRisk) {
      await this.recordDenied(operation, context, principal, permission);
      throw forbidden('high_risk_credential_required', 'This operation is high-risk; the token was not made for such work.');
    }
  }

  private async recordDenied(operation: Operation, context: RequestContext, principal: Principal, permission: Permission): Promise<void> {
    if (operation.highRisk !== true) return;
    await this.transactor.record(principal.actor, {
      action: 'operation.denied',
      resource: { type: 'operation', id: operation.id, name: null },
      clusterId: context.clusterId,
      outcome: 'denied',
      highRisk: true,
      reason: `needs ${permission}`,
      before: null,
      after: null,
    });
  }
}

/** A permission over one cluster lets its holder call cluster-wide lists; the service shows only those clusters. */
function isAllowed(principal: Principal, permission: Permission, context: RequestContext): boolean {
  if (context.clusterId !== null) return holds(principal, permission, context.clusterId);
  if (PERMISSIONS[permission].scope === 'platform') return holds(principal, permission, null);
  const clusters = clustersWith(principal, permission);
  return clusters === null || clusters.length > 0;
}

function noSuchCluster() {
  return notFound('not_found', 'There is no such cluster.');
}

function notAcceptable() {
  return new DomainError('not_acceptable', 'not_acceptable', 'The answer has no form that the Accept header allows.');
}
