import type { IncomingMessage, ServerResponse } from 'node:http';
import { Inject, Injectable, type OnModuleInit } from '@nestjs/common';
import type { Logger } from 'pino';
import { DatabaseClock } from '../../common/database/database-clock.js';
import { EarlyAnswers } from '../../common/http/early-answers.js';
import { type RateLimitHeaders, RateLimits } from '../../common/http/rate-limits.js';
import { requestIdOf } from '../../common/http/request-hooks.js';
import { LOGGER } from '../../common/observability/logger.js';
import { Metrics } from '../../common/observability/metrics.js';
import { tracer } from '../../common/observability/spans.js';
import { type KnownNode, NodeAuthenticator } from '../nodes/node-authenticator.js';
import type { NodeState } from '../nodes/node-states.js';
import { Departure } from './departure.js';
import { issueAt } from './issue.js';
import { pollHeaders, prefersHints } from './poll-headers.js';
import { snapshotEtag } from './snapshot-issuer.js';
import { type PollAnswer, SnapshotPolls } from './snapshot-polls.service.js';
import { MAX_WAIT_SECONDS } from './snapshots.schema.js';

const ROUTE = '/api/v1/node-agents/me/snapshot';
const WAITING = `${ROUTE}?waitSeconds=`;
const BEARER = 'Bearer ';
/** What agents and HTTP libraries send; anything else is for the guard to judge. */
const USUAL_ACCEPT: readonly (string | undefined)[] = [undefined, '*/*', 'application/json'];

/** An ETag, and until when it is the node's current one if nothing changes. */
interface Current {
  etag: string;
  endsAtMs: number;
}

/** A poll as it is answered here. */
interface EarlyPoll {
  node: KnownNode;
  ifNoneMatch: string;
  waitSeconds: number;
  limit: RateLimitHeaders;
  request: IncomingMessage;
  response: ServerResponse;
}

/**
 * Answers polls of nodes before the framework gets to see them: a request with a token that was verified before, and an
 * ETag. One that repeats the current ETag and does not wait costs a few look-ups and no promise; one that waits holds
 * its connection and little else. Whatever is not plainly that goes the usual way, at its end too, which would answer it
 * alike: this takes no decision that is not taken there.
 */
@Injectable()
export class EarlyPolls implements OnModuleInit {
  /** A state is another object as soon as something has changed. */
  private readonly current = new WeakMap<NodeState, Current>();

  constructor(
    private readonly early: EarlyAnswers,
    private readonly nodes: NodeAuthenticator,
    private readonly polls: SnapshotPolls,
    private readonly clock: DatabaseClock,
    private readonly limits: RateLimits,
    private readonly metrics: Metrics,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {}

  onModuleInit(): void {
    this.early.add((request, response, goOn) => this.answer(request, response, goOn));
  }

  /** False when it leaves the request alone. */
  private answer(request: IncomingMessage, response: ServerResponse, goOn: () => void): boolean {
    const waitSeconds = secondsIn(request);
    if (waitSeconds === null) return false;
    const { authorization, accept, 'if-none-match': ifNoneMatch } = request.headers;
    if (ifNoneMatch === undefined || authorization === undefined || !authorization.startsWith(BEARER))
      return false;
    // A request that is to be traced or logged tells more of itself on the usual way.
    if (!USUAL_ACCEPT.includes(accept) || tracer() !== null || this.logger.isLevelEnabled('debug'))
      return false;
    const startedAt = performance.now();
    const node = this.nodes.known(authorization.slice(BEARER.length));
    if (node === null) return false;
    // Beyond the limit the guard refuses it, and counts it once more, which changes nothing any more.
    const limit = this.limits.spendOfNode(node.key);
    if (limit === null) return false;
    const poll = { node, ifNoneMatch, waitSeconds, limit, request, response };
    if (waitSeconds === 0 && this.etagOf(node) === ifNoneMatch) {
      respond(poll, { notModified: ifNoneMatch, retryAfterSeconds: null, hints: [] });
      this.metrics.observeRequest('GET', ROUTE, 304, (performance.now() - startedAt) / 1000);
    } else void this.wait(poll, startedAt, goOn);
    return true;
  }

  /** One that cannot be answered goes the usual way, which says why. */
  private async wait(poll: EarlyPoll, startedAt: number, goOn: () => void): Promise<void> {
    const { node, ifNoneMatch, waitSeconds, request, response } = poll;
    const caller = Departure.of(request.socket);
    let answer: PollAnswer;
    try {
      const wantsHints = prefersHints(request.headers.prefer);
      answer = await this.polls.poll(node, { ifNoneMatch, waitSeconds, wantsHints, caller });
    } catch {
      return goOn();
    } finally {
      caller.forget();
    }
    if (caller.isOver) return;
    respond(poll, answer);
    const { statusCode } = response;
    if (waitSeconds > 0) this.metrics.countHeld('GET', ROUTE, statusCode);
    else this.metrics.observeRequest('GET', ROUTE, statusCode, (performance.now() - startedAt) / 1000);
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

/** How long the request may wait; null for what is no poll. */
function secondsIn({ url, method }: IncomingMessage): number | null {
  if (method !== 'GET' || url === undefined || !url.startsWith(ROUTE)) return null;
  if (url.length === ROUTE.length) return 0;
  const text = url.slice(WAITING.length);
  if (!url.startsWith(WAITING) || !/^\d{1,2}$/.test(text)) return null;
  const seconds = Number(text);
  return seconds <= MAX_WAIT_SECONDS ? seconds : null;
}

function respond({ limit, request, response }: EarlyPoll, answer: PollAnswer): void {
  const requestId = requestIdOf(request.headers['x-request-id']);
  const headers = { 'X-Request-Id': requestId, ...limit, ...pollHeaders(answer) };
  if ('notModified' in answer) {
    response.writeHead(304, headers).end();
    return;
  }
  // Nothing in a JWS needs to be escaped.
  const body = `{"jws":"${answer.jws}","generation":${answer.generation}}`;
  const content = {
    'Content-Type': 'application/json; charset=utf-8',
    'Content-Length': body.length,
  };
  response.writeHead(200, { ...headers, ...content }).end(body);
}
