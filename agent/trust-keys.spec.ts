import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import type { AgentState } from './agent-state.js';
import { ApiClient } from './api-client.js';
import { StateStore } from './state-store.js';
import { TrustKeys } from './trust-keys.js';

const key = (kid: string) => ({ kty: 'OKP', crv: 'Ed25519', x: 'x', kid });
const state: AgentState = {
  version: 1,
  baseUrl: 'http://127.0.0.1:1',
  keyThumbprint: 'thumbprint',
  tokenHash: 'hash',
  wish: { nodeName: 'edge-1', requestedRoles: [], discover: false, capabilities: [], facts: {} },
  enrollment: {
    status: 'enrolled',
    nodeId: 'n',
    clusterId: 'c',
    enrolledAt: '2026-03-01T12:00:00.000Z',
    snapshotKeys: [key('old')],
  },
  refused: null,
  rotation: null,
  lastRotation: null,
};

let directory: string;
let store: StateStore;
let keys: TrustKeys;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'agent-keys-'));
  store = new StateStore(directory);
  await store.prepare();
  await store.writeState(state);
  const api = new ApiClient(state.baseUrl, new AbortController().signal);
  keys = new TrustKeys(api, store, 'c', [key('old')]);
});
afterEach(() => rm(directory, { recursive: true, force: true }));

/** By which keys a restarted agent would read its stored snapshot back. */
async function stored(): Promise<unknown> {
  const read = await store.readState();
  return read?.enrollment.status === 'enrolled' ? read.enrollment.snapshotKeys.map(({ kid }) => kid) : null;
}
const believed = () => keys.current.map(({ kid }) => kid);

describe('the keys that a node believes', () => {
  it('are the old and the new ones until a snapshot by the new one is stored', async () => {
    await keys.add([key('new')]);
    expect([believed(), await stored()]).toEqual([
      ['old', 'new'],
      ['old', 'new'],
    ]);
    await keys.keep([key('new')]);
    expect([believed(), await stored()]).toEqual([['new'], ['new']]);
  });

  it('are not written again while they stay the same', async () => {
    await store.writeState({ ...state, tokenHash: 'changed by hand' });
    await keys.add([key('old')]);
    await keys.keep([key('old')]);
    expect((await store.readState())?.tokenHash).toBe('changed by hand');
    expect(believed()).toEqual(['old']);
  });
});
