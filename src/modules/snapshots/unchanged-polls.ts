import type { IncomingMessage, ServerResponse } from 'node:http';
import { Inject, Injectable, type OnModuleInit } from '@nestjs/common';
import type { Logger } from 'pino';
import { DatabaseClock } from '../../common/database/database-clock.js';
import { EarlyAnswers } from '../../common/http/early-answers.js';
import { RateLimits } from '../../common/http/rate-limits.js';
import { requestIdOf } from '../../common/http/request-hooks.js';
import { LOGGER } from '../../common/observability/logger.js';
import { Metrics } from '../../common/observability/metrics.js';
import { tracer } from '../../common/observability/spans.js';
import { type KnownNode, NodeAuthenticator } from '../nodes/node-authenticator.js';
import type { NodeState } from '../nodes/node-states.js';
import { issueAt } from './issue.js';
import { snapshotEtag } from './snapshot-issuer.js';

const URL = '/api/v1/node-agents/me/snapshot';
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
    private readonly early: EarlyAnswers,
    private readonly nodes: NodeAuthenticator,
    private readonly clock: DatabaseClock,
    private readonly limits: RateLimits,
    private readonly metrics: Metrics,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {}

  onModuleInit(): void {
    this.early.add((request, response) => this.answer(request, response));
  }

  /** False when it has not. */
  private answer(request: IncomingMessage, response: ServerResponse): boolean {
    if (request.url !== URL || request.method !== 'GET') return false;
    const { authorization, accept, 'if-none-match': ifNoneMatch } = request.headers;
    if (ifNoneMatch === undefined || authorization === undefined || !authorization.startsWith(BEARER))
      return false;
    // A request that is to be traced or logged tells more of itself on the usual way.
    if (!USUAL_ACCEPT.includes(accept) || tracer() !== null || this.logger.isLevelEnabled('debug'))
      return false;
    const startedAt = performance.now();
    const node = this.nodes.known(authorization.slice(BEARER.length));
    if (node === null || this.etagOf(node) !== ifNoneMatch) return false;
    // Beyond the limit the guard refuses it, and counts it once more, which changes nothing any more.
    const limit = this.limits.spendOfNode(node.key);
    if (limit === null) return false;
    const requestId = requestIdOf(request.headers['x-request-id']);
    response.writeHead(304, { 'X-Request-Id': requestId, ...limit, ETag: ifNoneMatch }).end();
    this.metrics.observeRequest('GET', URL, 304, (performance.now() - startedAt) / 1000);
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
