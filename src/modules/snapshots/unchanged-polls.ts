import { Injectable, type OnModuleInit } from '@nestjs/common';
import { HttpAdapterHost } from '@nestjs/core';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { DatabaseClock } from '../../common/database/database-clock.js';
import { RateLimits } from '../../common/http/rate-limits.js';
import { contextOf } from '../../common/http/request-hooks.js';
import { type KnownNode, NodeAuthenticator, nodeActor } from '../nodes/node-authenticator.js';
import type { NodeState } from '../nodes/node-states.js';
import { issueAt } from './issue.js';
import { snapshotEtag } from './snapshot-issuer.js';

const URL = '/api/v1/node-agents/me/snapshot';
const OPERATION = 'pollSnapshot';
const BEARER = 'Bearer ';
/** What agents and HTTP libraries send; anything else is for the guard to judge. */
const USUAL_ACCEPT: readonly (string | undefined)[] = [undefined, '*/*', 'application/json'];

/** An ETag, and until when it is the node's current one if nothing changes. */
interface Current {
  etag: string;
  endsAtMs: number;
}

/**
 * Answers the polls that most of all are unchanged ones, before the framework gets to see them: a request that repeats
 * the current ETag with a token that was verified before costs a few look-ups and no promise. Whatever is not plainly
 * that goes the usual way, which would answer it alike: this takes no decision that is not taken there.
 */
@Injectable()
export class UnchangedPolls implements OnModuleInit {
  /** A state is another object as soon as something has changed. */
  private readonly current = new WeakMap<NodeState, Current>();

  constructor(
    private readonly host: HttpAdapterHost,
    private readonly nodes: NodeAuthenticator,
    private readonly clock: DatabaseClock,
    private readonly limits: RateLimits,
  ) {}

  onModuleInit(): void {
    const app = this.host.httpAdapter.getInstance<FastifyInstance>();
    // After the hooks that give a request its context, so that it is logged, measured and traced like any other.
    app.addHook('onRequest', (request, reply, done) => {
      if (request.raw.url !== URL || request.method !== 'GET' || !this.answer(request, reply)) done();
    });
  }

  /** False when it has not. */
  private answer(request: FastifyRequest, reply: FastifyReply): boolean {
    const { authorization, accept, 'if-none-match': ifNoneMatch } = request.headers;
    if (ifNoneMatch === undefined || authorization === undefined || !authorization.startsWith(BEARER))
      return false;
    if (!USUAL_ACCEPT.includes(accept)) return false;
    const node = this.nodes.known(authorization.slice(BEARER.length));
    if (node === null || this.etagOf(node) !== ifNoneMatch) return false;
    const context = contextOf(request);
    // Beyond the limit the guard refuses it, and counts it once more, which changes nothing any more.
    if (this.limits.spendOfNode(node.key, reply).left < 0) return false;
    context.operationId = OPERATION;
    context.clusterId = node.clusterId;
    context.actor = nodeActor(node.nodeId, context);
    void reply.code(304).header('ETag', ifNoneMatch).send();
    return true;
  }

  private etagOf({ nodeId, state }: KnownNode): string {
    const now = this.clock.now();
    const known = this.current.get(state);
    if (known !== undefined && now.getTime() < known.endsAtMs) return known.etag;
    const issue = issueAt(nodeId, state.snapshotLifetimeSeconds, now);
    const etag = snapshotEtag(state.authorityTerm, state.generation, issue.number);
    this.current.set(state, { etag, endsAtMs: issue.endsAt.getTime() });
    return etag;
  }
}
