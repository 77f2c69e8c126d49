import { mkdir, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import type { AgentState } from './agent-state.js';
import { prepareJoin } from './join-state.js';
import { StateStore } from './state-store.js';

let directory: string;
let store: StateStore;

beforeEach(async () => {
  directory = join(await mkdtemp(join(tmpdir(), 'agent-state-')), 'state');
  store = new StateStore(directory);
  await store.prepare();
});
afterEach(() => rm(join(directory, '..'), { recursive: true, force: true }));

const wish = { nodeName: 'edge-1', requestedRoles: [], discover: true, capabilities: [], facts: {} };
const order = { baseUrl: 'http://localhost:8080', token: 'fjt_a_b', wish };
async function declined(): Promise<AgentState> {
  const { state } = await prepareJoin(store, order);
  const next: AgentState = {
    ...state,
    enrollment: { status: 'declined', outcome: 'rejected', reason: null },
  };
  await store.writeState(next);
  return next;
}

describe('preparing to join', () => {
  it('repeats with the same key after a crash, also with a new token', async () => {
    const first = await prepareJoin(store, order);
    const again = await prepareJoin(store, order);
    const withNewToken = await prepareJoin(store, { ...order, token: 'fjt_c_d' });
    expect(again.key.thumbprint).toBe(first.key.thumbprint);
    expect(withNewToken.key.thumbprint).toBe(first.key.thumbprint);
    expect(await readdir(join(directory, 'keys'))).toHaveLength(1);
  });

  it('makes a fresh key for a new token after a rejection, and forgets the old one', async () => {
    const old = await declined();
    await store.writeSnapshot({ jws: 'a.b.c', etag: null, receivedAt: '' });
    await mkdir(join(store.workloadsDirectory, 'vpn-exit'), { recursive: true });
    const { state } = await prepareJoin(store, { ...order, token: 'fjt_c_d' });
    expect(state.keyThumbprint).not.toBe(old.keyThumbprint);
    expect(await readdir(join(directory, 'keys'))).toEqual([`${state.keyThumbprint}.json`]);
    expect(await store.readSnapshot()).toBeNull();
    expect(await readdir(directory)).not.toContain('workloads');
  });

  it('asks with the same key when the same token comes again after a rejection', async () => {
    const old = await declined();
    const { state } = await prepareJoin(store, order);
    expect(state.keyThumbprint).toBe(old.keyThumbprint);
  });

  it('refuses a directory that belongs to another control plane', async () => {
    await prepareJoin(store, order);
    const other = { ...order, baseUrl: 'http://other:8080' };
    await expect(prepareJoin(store, other)).rejects.toThrow(/belongs to http:\/\/localhost:8080/);
  });
});
