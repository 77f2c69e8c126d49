import type { JWK } from 'jose';
import { fieldsOf, textField } from './answer-fields.js';
import { type ApiAnswer, retryAfterSeconds } from './api-client.js';
import { backoffMs, unchangedMs } from './backoff.js';
import type { HeldSnapshot } from './held-snapshot.js';
import { afterFailure, type LoopContext } from './loop.js';
import type { NodeApi } from './node-api.js';
import type { RoleKeeper } from './role-keeper.js';
import type { ServerClock } from './server-clock.js';
import type { Snapshot } from './snapshot.js';
import { type SnapshotVerdict, verifySnapshot } from './snapshot-verifier.js';
import type { StateStore } from './state-store.js';
import type { TrustKeys } from './trust-keys.js';
import { pause } from './waiting.js';

/** The longest that the contract lets the server hold a request, and what an answer may take beyond it. */
const HOLD_SECONDS = 55;
const HOLD_TIMEOUT_MS = (HOLD_SECONDS + 15) * 1_000;
/** A 304 that comes sooner was not held: the server is stopping, or does not hold at all. */
const HELD_AT_LEAST_MS = 1_000;

/** Keeps the node's snapshot current: asks, waits, verifies, stores, and hands the roles on. */
export class SnapshotWatch {
  private request: AbortController | null = null;
  /** Set by a nudge: the next request is not held, and a wait for it ends. */
  private isNudged = false;
  private follower: (connectionIds: readonly string[] | 'all') => void = () => undefined;
  /** Rounds in a row that brought nothing new and could be repeated at once. */
  private fruitless = 0;

  constructor(
    private readonly api: NodeApi,
    private readonly node: { nodeId: string; clusterId: string },
    private readonly keys: TrustKeys,
    private readonly store: StateStore,
    private readonly roles: RoleKeeper,
    private readonly clock: ServerClock,
    private readonly context: LoopContext,
    private current: HeldSnapshot | null,
  ) {}

  /** The snapshot that the node acts on; null before the first. */
  get held(): HeldSnapshot | null {
    return this.current;
  }

  /** What a heartbeat heard of the snapshot; when that is newer than the held one, it is fetched now. */
  nudge(heard: { generation: number | null; term: number | null }): void {
    const { generation = -1, authorityTerm = -1 } = this.current?.snapshot ?? {};
    if ((heard.generation ?? -1) <= generation && (heard.term ?? -1) <= authorityTerm) return;
    this.isNudged = true;
    this.request?.abort();
  }

  /** Hears from now on of VPN connections at whose lease to look. */
  onLeaseHints(follower: (connectionIds: readonly string[] | 'all') => void): void {
    this.follower = follower;
  }

  /** Watches until stopped. @throws IdentityRefused */
  async run(): Promise<void> {
    const { stop } = this.context;
    stop.addEventListener('abort', () => this.request?.abort(), { once: true });
    while (!stop.aborted) {
      this.request = new AbortController();
      const { signal } = this.request;
      const waitMs = await this.round(signal);
      // Ends early when a nudge says that there is something to fetch, or on stop.
      if (waitMs > 0 && !stop.aborted) await pause(waitMs, signal);
    }
  }

  /** Asks once; returns how long to wait before the next time, in milliseconds. */
  private async round(signal: AbortSignal): Promise<number> {
    const wasNudged = this.isNudged;
    this.isNudged = false;
    try {
      const answer = await this.ask(wasNudged ? 0 : HOLD_SECONDS, signal);
      this.context.presence.back();
      const isHinted = this.passHints(answer);
      if (answer.status !== 304) return await this.take(answer);
      const askedSeconds = retryAfterSeconds(answer.headers);
      const wasHeld = wasNudged || isHinted || answer.receivedAt - answer.sentAt >= HELD_AT_LEAST_MS;
      const attempt = this.fruitless;
      this.fruitless = wasHeld ? 0 : attempt + 1;
      return unchangedMs({ askedSeconds, wasHeld, attempt }, Math.random());
    } catch (error) {
      if (signal.aborted && this.isNudged) return 0; // not a failure: there is something newer to fetch
      return afterFailure(error, 'snapshot.failed', this.fruitless++, this.context);
    }
  }

  private ask(waitSeconds: number, signal: AbortSignal): Promise<ApiAnswer> {
    const etag = this.current?.etag ?? null;
    return this.api.send({
      method: 'GET',
      path: etag === null ? '/snapshot' : `/snapshot?waitSeconds=${waitSeconds}`,
      headers: etag === null ? {} : { 'if-none-match': etag, prefer: 'lease-hints' },
      timeoutMs: HOLD_TIMEOUT_MS,
      signal,
    });
  }

  /** Whether there were any. */
  private passHints({ headers }: ApiAnswer): boolean {
    const hints = headers.get('lease-hints');
    if (hints === null) return false;
    this.follower(hints === '*' ? 'all' : hints.split(',').map((hint) => hint.trim()));
    return true;
  }

  private async take(answer: ApiAnswer): Promise<number> {
    const jws = textField(fieldsOf(answer.body, 'body'), 'jws');
    const verdict = await this.verify(jws);
    if (!verdict.accepted) {
      this.context.log.error('snapshot.refused', { reason: verdict.reason });
      return backoffMs(this.fruitless++, Math.random());
    }
    const { snapshot, keys } = verdict;
    const etag = answer.headers.get('etag');
    const isNew = !isSameIssue(snapshot, this.current?.snapshot ?? null);
    const receivedAt = new Date(answer.receivedAt).toISOString();
    // Before it is acted on: that survives a crash, and so do the keys by which what is stored is read back.
    await this.keys.add(keys);
    await this.store.writeSnapshot({ jws, etag, receivedAt });
    await this.keys.keep(keys);
    this.current = { snapshot, etag };
    if (isNew) this.announce(snapshot);
    if (isNew && etag !== null) {
      this.fruitless = 0;
      return 0;
    }
    // The same again, or no ETag to be held by: the next request must not follow at once.
    return backoffMs(this.fruitless++, Math.random());
  }

  private announce(snapshot: Snapshot): void {
    this.context.log.info('snapshot.accepted', {
      generation: snapshot.generation,
      term: snapshot.authorityTerm,
      roles: [...new Set(snapshot.roles.map((role) => role.role))],
      issuedAt: snapshot.issuedAt,
      expiresAt: snapshot.expiresAt,
    });
    this.roles.apply(snapshot);
  }

  /** Who was away while a key was announced meets one that it does not know: the cluster's keys are asked for, once. */
  private async verify(jws: string): Promise<SnapshotVerdict> {
    const verdict = await this.verifyBy(this.keys.current, jws);
    if (verdict.accepted || verdict.reason !== 'unknown_key') return verdict;
    return this.verifyBy(await this.keys.published(), jws);
  }

  private verifyBy(keys: readonly JWK[], jws: string): Promise<SnapshotVerdict> {
    const held = this.current?.snapshot ?? null;
    return verifySnapshot(jws, { ...this.node, keys, held, now: this.clock.now() });
  }
}

function isSameIssue(one: Snapshot, other: Snapshot | null): boolean {
  return (
    one.authorityTerm === other?.authorityTerm &&
    one.generation === other.generation &&
    one.issuedAt === other.issuedAt
  );
}
