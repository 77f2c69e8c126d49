import { once } from 'node:events';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { calculateJwkThumbprint, compactVerify, importJWK, type JWK, jwtVerify } from 'jose';
import type { AgentState } from '../agent-state.js';
import { ApiClient } from '../api-client.js';
import { IdentityRefused } from '../api-errors.js';
import { generateNodeKey, type NodeKey } from '../keys.js';
import { Log } from '../log.js';
import { NodeApi } from '../node-api.js';
import { ServerClock } from '../server-clock.js';
import { ServerPresence } from '../server-presence.js';
import { StateStore } from '../state-store.js';
import { TokenSource } from '../token-source.js';
import { IdentityKeys } from './identity-keys.js';
import { KeyRotation } from './key-rotation.js';
import { RotationRequests } from './rotation-requests.js';

const node = {
  nodeId: '0195f000-0000-7000-8000-000000000002',
  clusterId: '0195f000-0000-7000-8000-000000000001',
};

type Loss = 'none' | 'request' | 'answer';

/** The rules of docs/adr/0006 over real HTTP: which key counts, and what a repeated rotation is. */
class IdentityService {
  private readonly server: Server;
  private port = 0;
  active: JWK = {};
  previous: JWK | null = null;
  /** Whether tokens can still be had with the previous key. */
  isOverlapOver = false;
  rotations = 0;
  lose: Loss = 'none';
  refuseRotationWith: string | null = null;

  constructor() {
    this.server = createServer((req, res) => void this.answer(req, res).catch(() => res.destroy()));
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  async start(): Promise<void> {
    this.server.listen(0, '127.0.0.1');
    await once(this.server, 'listening');
    this.port = (this.server.address() as AddressInfo).port;
  }

  async stop(): Promise<void> {
    this.server.closeAllConnections();
    await new Promise((done) => this.server.close(done));
  }

  private async answer(req: IncomingMessage, res: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of req) chunks.push(chunk as Buffer);
    const text = Buffer.concat(chunks).toString('utf8');
    const send = (status: number, body: object): void => {
      res.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
    };
    if (req.url === '/.well-known/fabric') return send(200, { serverTime: new Date().toISOString() });
    if (req.url === '/api/v1/node-agents/token')
      return send(...(await this.token(new URLSearchParams(text))));
    const lose = this.lose;
    this.lose = 'none';
    if (lose === 'request') return void req.socket.destroy();
    const answer = await this.rotate(JSON.parse(text) as { newPublicKey: JWK; proof: string });
    if (lose === 'answer') return void req.socket.destroy();
    send(...answer);
  }

  private async token(form: URLSearchParams): Promise<[number, object]> {
    const known = [this.active, ...(this.previous !== null && !this.isOverlapOver ? [this.previous] : [])];
    for (const key of known) {
      const verified = await jwtVerify(
        form.get('client_assertion') ?? '',
        await importJWK(key, 'EdDSA'),
      ).catch(() => null);
      if (verified !== null) return [200, { access_token: 'token', expires_in: 900 }];
    }
    return [401, { error: 'invalid_client', error_description: 'unknown' }];
  }

  private async rotate({
    newPublicKey,
    proof,
  }: {
    newPublicKey: JWK;
    proof: string;
  }): Promise<[number, object]> {
    if (this.refuseRotationWith !== null) return [409, { code: this.refuseRotationWith, detail: 'refused' }];
    const next = await calculateJwkThumbprint(newPublicKey);
    const inner = async (signer: JWK): Promise<Record<string, unknown> | null> => {
      const outer = await compactVerify(proof, await importJWK(signer, 'EdDSA')).catch(() => null);
      if (outer === null) return null;
      const jws = new TextDecoder().decode(outer.payload);
      const { payload } = await compactVerify(jws, await importJWK(newPublicKey, 'EdDSA'));
      return JSON.parse(new TextDecoder().decode(payload)) as Record<string, unknown>;
    };
    const claims = await inner(this.active);
    if (claims !== null) {
      expect(claims).toMatchObject({
        ...node,
        aud: this.url,
        newKeyThumbprint: next,
        jti: expect.any(String),
      });
      [this.previous, this.active] = [this.active, newPublicKey];
      this.isOverlapOver = false;
      this.rotations += 1;
    } else if (this.previous === null || (await inner(this.previous)) === null) {
      return [401, { code: 'proof_invalid', detail: 'not signed by the key of the node' }];
    } else if (next !== (await calculateJwkThumbprint(this.active))) {
      return [409, { code: 'identity_already_rotated', detail: 'replaced before' }];
    }
    return [200, { ...node, keyThumbprint: next }];
  }
}

/** A state directory whose owner dies at one of its writes: nothing is written any more from then on. */
class MortalStore extends StateStore {
  private isDead = false;

  constructor(
    directory: string,
    private writesLeft: number,
    private readonly onDeath: () => void,
  ) {
    super(directory);
  }

  override writeKey(key: NodeKey): Promise<void> {
    return this.live(() => super.writeKey(key));
  }

  override writeState(state: AgentState): Promise<void> {
    return this.live(() => super.writeState(state));
  }

  override removeKeysBut(thumbprints: readonly string[]): Promise<void> {
    return this.live(() => super.removeKeysBut(thumbprints));
  }

  private async live(write: () => Promise<void>): Promise<void> {
    this.isDead ||= this.writesLeft === 0;
    if (this.isDead) {
      this.onDeath();
      throw new Error('killed');
    }
    this.writesLeft -= 1;
    await write();
  }
}

const service = new IdentityService();
let directory: string;
beforeAll(() => service.start());
afterAll(() => service.stop());
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'agent-rotation-'));
});
afterEach(() => rm(directory, { recursive: true, force: true }));

/** A node that is enrolled with a fresh key, and a service that knows it. */
async function enrolled(): Promise<NodeKey> {
  const store = new StateStore(directory);
  await store.prepare();
  const key = await generateNodeKey();
  await store.writeKey(key);
  const enrolledAt = new Date().toISOString();
  await store.writeState({
    version: 1,
    baseUrl: service.url,
    keyThumbprint: key.thumbprint,
    tokenHash: 'hash',
    wish: { nodeName: 'edge-1', requestedRoles: [], discover: false, capabilities: [], facts: {} },
    enrollment: { status: 'enrolled', ...node, enrolledAt, snapshotKeys: [] },
    refused: null,
    rotation: null,
    lastRotation: null,
  });
  Object.assign(service, { active: key.publicJwk, previous: null, isOverlapOver: false, rotations: 0 });
  Object.assign(service, { lose: 'none', refuseRotationWith: null });
  return key;
}

/** One life of the agent, which ends when the rotation has or after so many writes. */
async function live(writes = Number.POSITIVE_INFINITY): Promise<'done' | 'killed' | 'refused'> {
  const stop = new AbortController();
  const log = new Log('error', () => undefined);
  const store = new MortalStore(directory, writes, () => stop.abort());
  try {
    const state = await store.readState();
    if (state === null) throw new Error('no state');
    const keys = await IdentityKeys.open(store, state, log);
    const clock = new ServerClock();
    const identity = { ...node, audience: service.url };
    const api = new ApiClient(service.url, stop.signal);
    const tokens = new TokenSource(api, { ...identity, keys }, clock, log, stop.signal);
    const requests = new RotationRequests(directory);
    const context = { log, presence: new ServerPresence(log), stop: stop.signal };
    const nodeApi = new NodeApi(api, tokens);
    const rotation = new KeyRotation(nodeApi, identity, keys, requests, store, clock, context, null);
    return (await rotation.finish()) ? 'done' : 'killed';
  } catch (error) {
    if (error instanceof IdentityRefused) return 'refused';
    if (stop.signal.aborted) return 'killed';
    throw error;
  }
}

const keyFiles = () => readdir(join(directory, 'keys'));
const keyOfService = () => calculateJwkThumbprint(service.active);
const requests = () => new RotationRequests(directory);

describe('a rotation', () => {
  it('replaces the key, remembers for whom, and leaves neither old key nor request', async () => {
    const old = await enrolled();
    const requestId = await requests().ask();
    expect(await live()).toBe('done');
    const state = await new StateStore(directory).readState();
    expect(state?.keyThumbprint).not.toBe(old.thumbprint);
    expect(state).toMatchObject({
      keyThumbprint: await keyOfService(),
      rotation: null,
      lastRotation: { outcome: 'rotated', requestId },
    });
    expect(await keyFiles()).toEqual([`${state?.keyThumbprint}.json`]);
    expect(await requests().find()).toBeNull();
  });

  it('happens once, whatever is lost and wherever it is killed, and never without a key that counts', async () => {
    const life = fc.record({
      writes: fc.integer({ min: 0, max: 6 }),
      lose: fc.constantFrom<Loss>('none', 'request', 'answer'),
      isOverlapOver: fc.boolean(),
    });
    const story = fc.asyncProperty(fc.array(life, { maxLength: 4 }), async (lives) => {
      await enrolled();
      await requests().ask();
      for (const { writes, lose, isOverlapOver } of lives) {
        Object.assign(service, { lose, isOverlapOver });
        expect(await live(writes)).not.toBe('refused');
        // Whatever happened, the key by which the service knows the node is on disk.
        expect(await keyFiles()).toContain(`${await keyOfService()}.json`);
      }
      expect(await live()).toBe('done');
      expect(service.rotations).toBe(1);
      expect(await keyFiles()).toEqual([`${await keyOfService()}.json`]);
      expect((await new StateStore(directory).readState())?.keyThumbprint).toBe(await keyOfService());
    });
    await fc.assert(story, { numRuns: 20 });
  });

  it('is found to have happened when the old key works no more', async () => {
    await enrolled();
    await requests().ask();
    expect(await live(3)).toBe('killed'); // after the service has answered, before that was written down
    expect(service.rotations).toBe(1);
    service.isOverlapOver = true;
    expect(await live()).toBe('done');
    expect(service.rotations).toBe(1);
    expect(await keyFiles()).toEqual([`${await keyOfService()}.json`]);
  });

  it.each(['key_already_enrolled', 'identity_already_rotated'])(
    'that the service will never take (%s) is given up, and the key stays',
    async (code) => {
      const old = await enrolled();
      const requestId = await requests().ask();
      service.refuseRotationWith = code;
      expect(await live()).toBe('done');
      expect(await new StateStore(directory).readState()).toMatchObject({
        keyThumbprint: old.thumbprint,
        rotation: null,
        lastRotation: { outcome: 'failed', requestId, detail: 'refused' },
      });
      expect(await keyFiles()).toEqual([`${old.thumbprint}.json`]);
      expect(await requests().find()).toBeNull();
    },
  );

  it('of a node that is known by neither key ends in its refusal, with both keys kept', async () => {
    await enrolled();
    await requests().ask();
    expect(await live(2)).toBe('killed'); // the new key is on disk, and nobody has heard of it
    service.active = (await generateNodeKey()).publicJwk;
    expect(await live()).toBe('refused');
    expect(await keyFiles()).toHaveLength(2);
  });
});

describe('requests for a rotation', () => {
  it('that come at the same time are one', async () => {
    const ids = await Promise.all(Array.from({ length: 10 }, () => requests().ask()));
    expect(new Set(ids).size).toBe(1);
    expect(await requests().find()).toBe(ids[0]);
  });
});
