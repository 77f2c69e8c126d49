import type { AgentState, JoinWish } from './agent-state.js';
import { tokenHash } from './assertions.js';
import { UsageError } from './exit.js';
import { generateNodeKey, type NodeKey } from './keys.js';
import type { StateStore } from './state-store.js';

/** What `enroll` was asked for. */
export interface JoinOrder {
  baseUrl: string;
  token: string;
  wish: JoinWish;
}

/**
 * The state from which to ask for admission, on disk before it is returned. An attempt that was cut short
 * is repeated with its key. A fresh key is made for the first attempt, and for a new token after the old
 * identity was declined or ended: an identity key belongs to one node in one cluster.
 * @throws UsageError when the directory belongs to another control plane
 */
export async function prepareJoin(
  store: StateStore,
  order: JoinOrder,
): Promise<{ state: AgentState; key: NodeKey }> {
  const before = await store.readState();
  const keep = before !== null && !startsAfresh(before, order.token) ? before : null;
  if (keep !== null && keep.baseUrl !== order.baseUrl) {
    throw new UsageError(
      `${store.directory} belongs to ${keep.baseUrl}; give another --state-dir for ${order.baseUrl}`,
    );
  }
  const key = keep === null ? await generateNodeKey() : await store.readKey(keep.keyThumbprint);
  if (keep === null) {
    await store.writeKey(key); // before the state that names it
    await store.removeObservations();
  }
  const state: AgentState = {
    version: 1,
    baseUrl: order.baseUrl,
    keyThumbprint: key.thumbprint,
    tokenHash: tokenHash(order.token),
    wish: keep === null ? order.wish : { ...order.wish, nodeName: keep.wish.nodeName },
    enrollment: { status: 'requesting', token: order.token },
    refused: null,
    rotation: keep?.rotation ?? null,
    lastRotation: keep?.lastRotation ?? null,
  };
  await store.writeState(state);
  if (keep === null) await store.removeKeysBut([key.thumbprint]);
  return { state, key };
}

function startsAfresh(state: AgentState, token: string): boolean {
  const isOver = state.enrollment.status === 'declined' || state.refused !== null;
  return isOver && state.tokenHash !== tokenHash(token);
}
