import { Inject, Injectable } from '@nestjs/common';
import type { FastifyReply } from 'fastify';
import type { Principal } from '../auth/principal.js';
import { RUNTIME, type Runtime } from '../config/runtime.js';
import { tooManyRequests } from '../errors/domain-error.js';
import { RequestWindows, type Spent } from './request-windows.js';

const WINDOW_SECONDS = 60;

/**
 * Requests a minute, counted by this instance. Of an address only unknown credentials count, so that a fleet behind
 * one address boots; of an authenticated principal every request does.
 */
@Injectable()
export class RateLimits {
  private readonly unknown: RequestWindows;
  private readonly principals: RequestWindows;
  private readonly nodes: RequestWindows;

  constructor(@Inject(RUNTIME) runtime: Runtime) {
    const { unknownCredentialsPerMinute, principalPerMinute, nodePerMinute } = runtime.config.limits;
    this.unknown = new RequestWindows(unknownCredentialsPerMinute, WINDOW_SECONDS * 1000);
    this.principals = new RequestWindows(principalPerMinute, WINDOW_SECONDS * 1000);
    this.nodes = new RequestWindows(nodePerMinute, WINDOW_SECONDS * 1000);
  }

  /** Counts a credential that nobody knows. Known ones of the same address go on. @throws too_many_requests */
  async countUnknown(ip: string): Promise<void> {
    const spent = this.unknown.spend(ip);
    if (spent.left < 0) throw limited(spent);
  }

  /** Counts a request and says in its answer what is left. @throws too_many_requests */
  async spend(principal: Principal, reply: FastifyReply): Promise<void> {
    const { spent, headers } = counted(principal.node === null ? this.principals : this.nodes, principal.key);
    void reply.headers(headers);
    if (spent.left < 0) throw limited(spent);
  }

  /** The same for a node's request, without a throw: null means that it is to be refused.
   *  @param key of its principal
   *  @returns the headers of its answer */
  spendOfNode(key: string): RateLimitHeaders | null {
    const { spent, headers } = counted(this.nodes, key);
    return spent.left < 0 ? null : headers;
  }
}

/** The fields of draft-ietf-httpapi-ratelimit-headers. */
export type RateLimitHeaders = Record<'RateLimit-Policy' | 'RateLimit', string>;

function counted(windows: RequestWindows, key: string): { spent: Spent; headers: RateLimitHeaders } {
  const spent = windows.spend(key);
  const left = Math.max(0, spent.left);
  const headers = {
    'RateLimit-Policy': `"default";q=${windows.limit};w=${WINDOW_SECONDS}`,
    RateLimit: `"default";r=${left};t=${Math.ceil(spent.resetMs / 1000)}`,
  };
  return { spent, headers };
}

function limited({ resetMs }: Spent) {
  return tooManyRequests('rate_limited', 'The limit of requests a minute is reached.', {
    retryAfterSeconds: Math.max(1, Math.ceil(resetMs / 1000)),
  });
}
