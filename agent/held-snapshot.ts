import type { AgentState, StoredSnapshot } from './agent-state.js';
import type { Snapshot } from './snapshot.js';
import { type SnapshotRefusal, verifySnapshot } from './snapshot-verifier.js';
import type { StateStore } from './state-store.js';

/** The last good snapshot with what is needed to ask for the next one. */
export interface HeldSnapshot {
  snapshot: Snapshot;
  etag: string | null;
}

/** What the state directory holds: nothing, a snapshot to go on with, or one that is not to be believed. */
export type StoredVerdict = HeldSnapshot | { refused: SnapshotRefusal } | null;

/**
 * Reads the last good snapshot back and verifies it again: the disk is no reason to trust it. Its age is not
 * looked at; when its roles lapse is decided where they are applied.
 */
export async function readHeldSnapshot(store: StateStore, state: AgentState): Promise<StoredVerdict> {
  const { enrollment } = state;
  if (enrollment.status !== 'enrolled') return null;
  const stored: StoredSnapshot | null = await store.readSnapshot();
  if (stored === null) return null;
  const { clusterId, nodeId, snapshotKeys: keys } = enrollment;
  const verdict = await verifySnapshot(stored.jws, { clusterId, nodeId, keys, held: null, now: null });
  if (!verdict.accepted) return { refused: verdict.reason };
  return { snapshot: verdict.snapshot, etag: stored.etag };
}
