import type { JWK } from 'jose';
import { fieldsOf } from './answer-fields.js';
import type { ApiClient } from './api-client.js';
import type { StateStore } from './state-store.js';

/**
 * The keys that may sign this node's snapshots: delivered at enrollment, from then on announced in each snapshot, so
 * that the next key is learnt from one that is believed.
 */
export class TrustKeys {
  constructor(
    private readonly api: ApiClient,
    private readonly store: StateStore,
    private readonly clusterId: string,
    private keys: readonly JWK[],
  ) {}

  get current(): readonly JWK[] {
    return this.keys;
  }

  /** What the cluster publishes now, for a node that has missed a whole rotation. Nothing is believed by asking. */
  async published(): Promise<readonly JWK[]> {
    const path = `/api/v1/clusters/${encodeURIComponent(this.clusterId)}/trust/jwks`;
    const { keys } = fieldsOf((await this.api.send({ method: 'GET', path })).body, 'JWK set');
    return Array.isArray(keys) ? (keys as JWK[]) : [];
  }

  /** Believes these as well: until what they signed is stored, what is stored is by one of the others. */
  async add(keys: readonly JWK[]): Promise<void> {
    const known = new Set(this.keys.map(({ kid }) => kid));
    await this.keep([...this.keys, ...keys.filter(({ kid }) => !known.has(kid))]);
  }

  /** Believes these and no others, so that a key which was withdrawn is no longer believed. */
  async keep(snapshotKeys: readonly JWK[]): Promise<void> {
    if (namesOf(snapshotKeys) === namesOf(this.keys)) return;
    await this.store.updateState((state) =>
      state.enrollment.status === 'enrolled'
        ? { ...state, enrollment: { ...state.enrollment, snapshotKeys: [...snapshotKeys] } }
        : state,
    );
    this.keys = snapshotKeys;
  }
}

function namesOf(keys: readonly JWK[]): string {
  return JSON.stringify(keys.map(({ kid }) => kid).sort());
}
