import type { IncomingMessage, ServerResponse } from 'node:http';
import { Inject, Injectable, type OnModuleInit } from '@nestjs/common';
import type { Logger } from 'pino';
import { DatabaseClock } from '../../common/database/database-clock.js';
import { EarlyAnswers } from '../../common/http/early-answers.js';
import { RateLimits } from '../../common/http/rate-limits.js';
import { LOGGER } from '../../common/observability/logger.js';
import { Metrics } from '../../common/observability/metrics.js';
import { tracer } from '../../common/observability/spans.js';
import { type KnownNode, NodeAuthenticator } from '../nodes/node-authenticator.js';
import type { NodeState } from '../nodes/node-state.js';
import { Departure } from './departure.js';
import { EarlyCrowd } from './early-crowd.js';
import { type EarlyPoll, POLL_ROUTE, respond } from './early-poll.js';
import { currentSnapshot } from './issue.js';
import { prefersHints } from './poll-headers.js';
import { type PollAnswer, SnapshotPolls } from './snapshot-polls.service.js';
import { MAX_WAIT_SECONDS } from './snapshots.schema.js';

const WAITING = `${POLL_ROUTE}?waitSeconds=`;
const BEARER = 'Bearer ';
/** What agents and HTTP libraries send; anything else is for the guard to judge. */
const USUAL_ACCEPT: readonly (string | undefined)[] = [undefined, '*/*', 'application/json'];

/** An ETag, and until when it is the node's current one if nothing changes. */
interface Current {
  etag: string;
  endsAtMs: number;
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
    private readonly crowd: EarlyCrowd,
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
    const wantsHints = prefersHints(request.headers.prefer);
    const poll = { node, ifNoneMatch, waitSeconds, wantsHints, limit, request, response, goOn };
    const isCurrent = this.etagOf(node) === ifNoneMatch;
    if (isCurrent && waitSeconds === 0) {
      respond(poll, { notModified: ifNoneMatch, retryAfterSeconds: null, hints: [] });
      this.metrics.observeRequest('GET', POLL_ROUTE, 304, (performance.now() - startedAt) / 1000);
    } else if (isCurrent) this.crowd.hold(poll);
    else void this.ask(poll, startedAt);
    return true;
  }

  /** One that cannot be answered goes the usual way, which says why. */
  private async ask(poll: EarlyPoll, startedAt: number): Promise<void> {
    const { node, ifNoneMatch, waitSeconds, wantsHints, request, response, goOn } = poll;
    const caller = Departure.of(request.socket);
    let answer: PollAnswer;
    try {
      answer = await this.polls.poll(node, { ifNoneMatch, waitSeconds, wantsHints, caller });
    } catch {
      return goOn();
    } finally {
      caller.forget();
    }
    if (caller.isOver) return;
    respond(poll, answer);
    const { statusCode } = response;
    if (waitSeconds > 0) this.metrics.countHeld('GET', POLL_ROUTE, statusCode);
    else this.metrics.observeRequest('GET', POLL_ROUTE, statusCode, (performance.now() - startedAt) / 1000);
  }

  private etagOf({ nodeId, state }: KnownNode): string {
    const now = this.clock.now();
    const known = this.current.get(state);
    if (known !== undefined && now.getTime() < known.endsAtMs) return known.etag;
    const { etag, untilMs } = currentSnapshot(nodeId, state, now);
    this.current.set(state, { etag, endsAtMs: now.getTime() + untilMs });
    return etag;
  }
}

/** How long the request may wait; null for what is no poll. */
function secondsIn({ url, method }: IncomingMessage): number | null {
  if (method !== 'GET' || url === undefined || !url.startsWith(POLL_ROUTE)) return null;
  if (url.length === POLL_ROUTE.length) return 0;
  const text = url.slice(WAITING.length);
  if (!url.startsWith(WAITING) || !/^\d{1,2}$/.test(text)) return null;
  const seconds = Number(text);
  return seconds <= MAX_WAIT_SECONDS ? seconds : null;
}
