import { mkdir, mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { prepareJoin } from './join-state.js';
import { generateNodeKey } from './keys.js';
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
const mode = async (name: string): Promise<number> => (await stat(join(directory, name))).mode & 0o777;

describe('the state directory', () => {
  it('is for its owner alone, whatever the umask or an earlier mode', async () => {
    const { key } = await prepareJoin(store, order);
    await store.writeSnapshot({ jws: 'a.b.c', etag: null, receivedAt: '' });
    expect(await mode('.')).toBe(0o700);
    expect(await mode('keys')).toBe(0o700);
    expect(await mode('state.json')).toBe(0o600);
    expect(await mode('snapshot.json')).toBe(0o600);
    expect(await mode(`keys/${key.thumbprint}.json`)).toBe(0o600);
  });

  it('ignores a temporary file that a crash left half written, and sweeps it', async () => {
    await prepareJoin(store, order);
    await writeFile(join(directory, '.state.json.1234.tmp'), '{"version": 1, "baseU');
    expect((await store.readState())?.baseUrl).toBe(order.baseUrl);
    await store.prepare();
    expect((await readdir(directory)).filter((name) => name.endsWith('.tmp'))).toEqual([]);
    expect((await store.readState())?.baseUrl).toBe(order.baseUrl);
  });

  it('keeps the old content when a write fails, and leaves no temporary file', async () => {
    await mkdir(join(directory, 'contact.json')); // a folder cannot be replaced by a file
    await expect(store.writeContact({ lastContactAt: '', clockOffsetMs: 0 })).rejects.toThrow();
    expect(await readdir(directory)).toEqual(['contact.json', 'keys']);
  });

  it('loses no change when several are made at once', async () => {
    await prepareJoin(store, order);
    const add = (role: string): Promise<void> =>
      store.updateState((state) => ({
        ...state,
        wish: { ...state.wish, requestedRoles: [...state.wish.requestedRoles, role] },
      }));
    await Promise.all(['a', 'b', 'c', 'd'].map(add));
    expect((await store.readState())?.wish.requestedRoles).toEqual(['a', 'b', 'c', 'd']);
  });

  it('keeps what a newer agent has added, so that either can go on after the other', async () => {
    const { state } = await prepareJoin(store, order);
    const added = { ...state, later: { any: 'thing' }, wish: { ...state.wish, later: 1 } };
    await writeFile(join(directory, 'state.json'), JSON.stringify(added));
    await store.updateState((known) => ({ ...known, refused: null }));
    expect(await store.readState()).toEqual(added);
  });

  it('says in one line which file is damaged', async () => {
    await writeFile(join(directory, 'state.json'), '{"version":');
    await expect(store.readState()).rejects.toThrow(/state\.json is not JSON/);
  });

  it('refuses a key file that holds another key', async () => {
    const [one, other] = [await generateNodeKey(), await generateNodeKey()];
    await store.writeKey(one);
    const file = join(directory, 'keys', `${one.thumbprint}.json`);
    await writeFile(file, JSON.stringify(other.privateJwk));
    await expect(store.readKey(one.thumbprint)).rejects.toThrow(/holds another key/);
    await expect(store.readKey(other.thumbprint)).rejects.toThrow(/missing or damaged/);
  });
});
