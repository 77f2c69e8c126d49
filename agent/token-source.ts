import { fieldsOf, optionalNumber, textField } from './answer-fields.js';
import type { ApiAnswer, ApiClient } from './api-client.js';
import { ApiRefusal, IdentityRefused } from './api-errors.js';
import { clientAssertion } from './assertions.js';
import { backoffMs } from './backoff.js';
import type { IdentityKeys } from './identity/identity-keys.js';
import type { NodeKey } from './keys.js';
import type { Log } from './log.js';
import type { ServerClock } from './server-clock.js';
import { pause } from './waiting.js';

const ASSERTION_TYPE = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer';
/** Refusals in a row, made with the right time, after which the identity counts as ended. */
const REFUSALS_UNTIL_ENDED = 3;
const DEFAULT_LIFETIME_SECONDS = 300;

interface IssuedToken {
  value: string;
  /** By `performance.now()`, which no change of the host's clock moves. */
  renewAt: number;
  expiresAt: number;
}

/** Who the node is, for its client assertions. */
export interface NodeIdentity {
  nodeId: string;
  clusterId: string;
  audience: string;
  keys: IdentityKeys;
}

/** Hands out the node's access token and renews it at two thirds of its life; one request at a time. */
export class TokenSource {
  private token: IssuedToken | null = null;
  private renewal: Promise<void> | null = null;

  constructor(
    private readonly api: ApiClient,
    private readonly identity: NodeIdentity,
    private readonly clock: ServerClock,
    private readonly log: Log,
    private readonly stop: AbortSignal,
  ) {}

  /**
   * A token that has not expired.
   * @throws IdentityRefused when the control plane has ended this identity
   * @throws ServerAway when there is no valid token and none can be had now
   */
  async get(): Promise<string> {
    const held = this.token;
    if (held !== null && performance.now() < held.renewAt) return held.value;
    this.renewal ??= this.renew().finally(() => {
      this.renewal = null;
    });
    try {
      await this.renewal;
    } catch (error) {
      // The old one is good for a third of its life more; only a refused identity makes it worthless.
      const isUsable = held !== null && this.token === held && performance.now() < held.expiresAt;
      if (error instanceof IdentityRefused || !isUsable) throw error;
      return held.value;
    }
    if (this.token === null) throw new Error('the new access token was refused before it could be used');
    return this.token.value;
  }

  /** Forgets `value` after a 401, unless a newer one has taken its place. */
  forget(value: string): void {
    if (this.token?.value === value) this.token = null;
  }

  private async renew(): Promise<void> {
    for (let refusals = 0, attempt = 0; ; attempt += 1) {
      const hadRightTime = this.clock.isFresh();
      try {
        this.token = issuedToken(await this.requestByAnyKey());
        this.log.info('token.issued', {
          expiresInSeconds: Math.round((this.token.expiresAt - performance.now()) / 1_000),
        });
        return;
      } catch (error) {
        if (!isClientRefusal(error)) throw error;
        if (hadRightTime) refusals += 1;
        this.log.warn('token.refused', { detail: error.message, refusals });
        if (refusals === REFUSALS_UNTIL_ENDED) throw new IdentityRefused(error.message);
        await this.askTime();
        await pause(backoffMs(attempt, Math.random()), this.stop);
        if (this.stop.aborted) throw error;
      }
    }
  }

  /**
   * By the node's key; when that is refused while another one is to take its place, by that one: the answer to the
   * rotation may have been lost, and the control plane knows only the new key then.
   */
  private async requestByAnyKey(): Promise<ApiAnswer> {
    const { keys } = this.identity;
    try {
      return await this.request(keys.current);
    } catch (error) {
      const { pending } = keys;
      if (pending === null || !isClientRefusal(error)) throw error;
      const answer = await this.request(pending);
      await keys.adopt(pending);
      return answer;
    }
  }

  private async request(key: NodeKey): Promise<ApiAnswer> {
    const { nodeId, clusterId, audience } = this.identity;
    const claims = { nodeId, clusterId, audience, now: this.clock.now() };
    return this.api.send({
      method: 'POST',
      path: '/api/v1/node-agents/token',
      form: {
        grant_type: 'client_credentials',
        client_assertion_type: ASSERTION_TYPE,
        client_assertion: await clientAssertion(key, claims),
      },
    });
  }

  /** A wrong clock must not look like a revocation, and an OAuth error does not tell the time. */
  private async askTime(): Promise<void> {
    const answer = await this.api.send({ method: 'GET', path: '/.well-known/fabric' });
    this.clock.observe(fieldsOf(answer.body, 'description').serverTime, answer);
  }
}

function isClientRefusal(error: unknown): error is ApiRefusal {
  return error instanceof ApiRefusal && error.status === 401 && error.code === 'invalid_client';
}

function issuedToken(answer: ApiAnswer): IssuedToken {
  const fields = fieldsOf(answer.body, 'token');
  const lifetimeMs = 1_000 * (optionalNumber(fields, 'expires_in') ?? DEFAULT_LIFETIME_SECONDS);
  const now = performance.now();
  return {
    value: textField(fields, 'access_token'),
    renewAt: now + (lifetimeMs * 2) / 3,
    expiresAt: now + lifetimeMs,
  };
}
