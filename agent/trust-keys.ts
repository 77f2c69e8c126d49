import type { JWK } from 'jose';
import { fieldsOf } from './answer-fields.js';
import type { ApiClient } from './api-client.js';
import type { StateStore } from './state-store.js';

/** The keys that may sign this node's snapshots: those delivered at enrollment until newer ones are fetched. */
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

  /**
   * Fetches the cluster's present keys and keeps them in place of the old ones, so that a key which was
   * withdrawn is no longer believed. An answer without any key changes nothing.
   */
  async refresh(): Promise<void> {
    const path = `/api/v1/clusters/${encodeURIComponent(this.clusterId)}/trust/jwks`;
    const { keys } = fieldsOf((await this.api.send({ method: 'GET', path })).body, 'JWK set');
    if (!Array.isArray(keys) || keys.length === 0) return;
    const snapshotKeys = keys as JWK[];
    await this.store.updateState((state) =>
      state.enrollment.status === 'enrolled'
        ? { ...state, enrollment: { ...state.enrollment, snapshotKeys } }
        : state,
    );
    this.keys = snapshotKeys;
  }
}
