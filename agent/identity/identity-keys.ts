import type { AgentState, PendingRotation } from '../agent-state.js';
import { generateNodeKey, type NodeKey } from '../keys.js';
import type { Log } from '../log.js';
import type { StateStore } from '../state-store.js';

/**
 * The key by which the node is known, and the one that is to take its place. Whatever answer is lost and wherever the
 * agent is killed, every key that the control plane may know the node by is on disk: the new one is written before
 * anybody hears of it, and the old one is removed only after the new one is known to count.
 */
export class IdentityKeys {
  private last: Promise<unknown> = Promise.resolve();

  private constructor(
    private readonly store: StateStore,
    private readonly log: Log,
    private key: NodeKey,
    private next: NodeKey | null,
  ) {}

  /** The keys as the state names them. @throws AgentFailure when a key is missing or damaged */
  static async open(store: StateStore, state: AgentState, log: Log): Promise<IdentityKeys> {
    const { keyThumbprint, rotation } = state;
    const key = await store.readKey(keyThumbprint);
    const next = rotation === null ? null : await store.readKey(rotation.keyThumbprint);
    await store.removeKeysBut(rotation === null ? [keyThumbprint] : [keyThumbprint, rotation.keyThumbprint]);
    return new IdentityKeys(store, log, key, next);
  }

  get current(): NodeKey {
    return this.key;
  }

  /** Null when no rotation has begun. */
  get pending(): NodeKey | null {
    return this.next;
  }

  /** Makes the key that is to take the place of the present one; durable when this returns. */
  prepare(requestId: string | null): Promise<NodeKey> {
    return this.inTurn(async () => {
      if (this.next !== null) return this.next;
      const next = await generateNodeKey();
      await this.store.writeKey(next); // before the state that names it
      const startedAt = new Date().toISOString();
      const rotation: PendingRotation = { keyThumbprint: next.thumbprint, startedAt, requestId };
      await this.store.updateState((state) => ({ ...state, rotation }));
      this.next = next;
      this.log.info('key.rotation_started', {
        keyThumbprint: this.key.thumbprint,
        newKeyThumbprint: next.thumbprint,
      });
      return next;
    });
  }

  /** The control plane knows the node by `key`: it takes the place of the old one, unless it has already. */
  adopt(key: NodeKey): Promise<void> {
    return this.inTurn(async () => {
      if (this.next?.thumbprint !== key.thumbprint) return;
      await this.finish({ outcome: 'rotated', detail: null }, key.thumbprint);
      const previous = this.key;
      this.key = key;
      this.next = null;
      this.log.info('key.rotated', {
        keyThumbprint: key.thumbprint,
        previousKeyThumbprint: previous.thumbprint,
      });
      await this.store.removeKeysBut([key.thumbprint]);
    });
  }

  /** The control plane will never take the new key: the old one stays. */
  abandon(detail: string): Promise<void> {
    return this.inTurn(async () => {
      if (this.next === null) return;
      await this.finish({ outcome: 'failed', detail }, this.key.thumbprint);
      this.next = null;
      this.log.error('key.rotation_abandoned', { detail });
      await this.store.removeKeysBut([this.key.thumbprint]);
    });
  }

  private finish(
    end: { outcome: 'rotated' | 'failed'; detail: string | null },
    keyThumbprint: string,
  ): Promise<void> {
    const at = new Date().toISOString();
    return this.store.updateState((state) => {
      const requestId = state.rotation?.requestId ?? null;
      return { ...state, keyThumbprint, rotation: null, lastRotation: { ...end, at, requestId } };
    });
  }

  private inTurn<T>(work: () => Promise<T>): Promise<T> {
    const done = this.last.then(work);
    this.last = done.catch(() => undefined);
    return done;
  }
}
