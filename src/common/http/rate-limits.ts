import { Inject, Injectable } from '@nestjs/common';
import type { FastifyReply } from 'fastify';
import { RateLimiterMemory, RateLimiterRes } from 'rate-limiter-flexible';
import type { Principal } from '../auth/principal.js';
import { RUNTIME, type Runtime } from '../config/runtime.js';
import { tooManyRequests } from '../errors/domain-error.js';

const WINDOW_SECONDS = 60;
/** A node's heartbeats at the shortest usual interval, times four, with its other calls. */
const NODE_PER_MINUTE = 240;

/**
 * Requests a minute, counted by this instance. Of an address only unknown credentials count, so that a fleet behind
 * one address boots; of an authenticated principal every request does.
 */
@Injectable()
export class RateLimits {
  private readonly unknown: RateLimiterMemory;
  private readonly principals: RateLimiterMemory;
  private readonly nodes: RateLimiterMemory;

  constructor(@Inject(RUNTIME) runtime: Runtime) {
    const limiter = (keyPrefix: string, points: number) =>
      new RateLimiterMemory({ keyPrefix, points, duration: WINDOW_SECONDS });
    this.unknown = limiter('unknown', runtime.config.limits.unknownCredentialsPerMinute);
    this.principals = limiter('principal', runtime.config.limits.principalPerMinute);
    this.nodes = limiter('node', NODE_PER_MINUTE);
  }

  /** Counts a credential that nobody knows. Known ones of the same address go on. @throws too_many_requests */
  async countUnknown(ip: string): Promise<void> {
    try {
      await this.unknown.consume(ip);
    } catch (state) {
      throw state instanceof RateLimiterRes ? limited(state) : state;
    }
  }

  /** Counts a request and says in its answer what is left. @throws too_many_requests */
  async spend(principal: Principal, reply: FastifyReply): Promise<void> {
    const limiter = principal.node === null ? this.principals : this.nodes;
    try {
      setHeaders(reply, limiter, await limiter.consume(principal.key));
    } catch (state) {
      if (!(state instanceof RateLimiterRes)) throw state;
      setHeaders(reply, limiter, state);
      throw limited(state);
    }
  }
}

function limited(state: RateLimiterRes) {
  return tooManyRequests('rate_limited', 'The limit of requests a minute is reached.', {
    retryAfterSeconds: Math.max(1, Math.ceil(state.msBeforeNext / 1000)),
  });
}

/** The fields of draft-ietf-httpapi-ratelimit-headers. */
function setHeaders(reply: FastifyReply, limiter: RateLimiterMemory, state: RateLimiterRes): void {
  const resetSeconds = Math.ceil(state.msBeforeNext / 1000);
  void reply.header('RateLimit-Policy', `"default";q=${limiter.points};w=${WINDOW_SECONDS}`);
  void reply.header('RateLimit', `"default";r=${Math.max(0, state.remainingPoints)};t=${resetSeconds}`);
}
