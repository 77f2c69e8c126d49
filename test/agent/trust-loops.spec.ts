import { createHash, createPublicKey } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type IncomingMessage, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { decodeJwt, importJWK, type JWK, jwtVerify } from 'jose';
import { ApiClient } from '../../agent/api-client.js';
import type { IdentityKeys } from '../../agent/identity/identity-keys.js';
import { generateNodeKey, type NodeKey } from '../../agent/keys.js';
import { Log } from '../../agent/log.js';
import { NodeApi } from '../../agent/node-api.js';
import { ServerClock } from '../../agent/server-clock.js';
import { ServerPresence } from '../../agent/server-presence.js';
import type { TokenSource } from '../../agent/token-source.js';
import { CertificateKeeper } from '../../agent/trust/certificate-keeper.js';
import { readRevocationList } from '../../agent/trust/revocation-list.js';
import type { Root } from '../../agent/trust/trust-bundle.js';
import { TrustFollower } from '../../agent/trust/trust-follower.js';
import { TrustStore } from '../../agent/trust/trust-store.js';
import { readCsr } from '../../src/modules/trust/csr.js';
import { inHours, TestAuthority } from '../support/test-authority.js';

const clusterId = '0195f000-0000-7000-8000-000000000001';
const nodeId = '0195f000-0000-7000-8000-000000000002';
const ASK = 'POST /api/v1/node-agents/me/certificates';
const TRUST = `/api/v1/clusters/${clusterId}/trust`;

interface Served {
  status?: number;
  body: unknown;
}

/** Answers by path with what the test has put there; whatever the test has not is 404. */
let served: Map<string, (body: Record<string, string>) => Served | Promise<Served>>;
let asked: string[];
let server: Server;
let directory: string;
let store: TrustStore;
let stop: AbortController;
let running: Promise<void>;
let lines: Record<string, unknown>[];
let onLine: () => void;
let authority: TestAuthority;
beforeAll(async () => {
  authority = await TestAuthority.make(clusterId);
});
beforeEach(async () => {
  [served, asked, lines, onLine] = [new Map(), [], [], () => undefined];
  server = createServer((req, res) => {
    void bodyOf(req).then(async (body) => {
      const path = `${req.method} ${req.url}`;
      asked.push(path);
      const answer = served.get(path)?.(body) ?? { status: 404, body: { code: 'not_found', detail: path } };
      const { status = 200, body: content } = await answer;
      const isBytes = typeof content === 'string' || content instanceof Uint8Array;
      res.writeHead(status, { 'content-type': isBytes ? 'application/octet-stream' : 'application/json' });
      res.end(isBytes ? content : JSON.stringify(content));
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  directory = await mkdtemp(join(tmpdir(), 'agent-loops-'));
  stop = new AbortController();
  store = await TrustStore.open(directory, { clusterId, nodeId }, log());
});
afterEach(async () => {
  stop.abort();
  await running;
  server.closeAllConnections();
  server.close();
  await rm(directory, { recursive: true, force: true });
});

function log(): Log {
  return new Log('debug', (line) => {
    lines.push(JSON.parse(line) as Record<string, unknown>);
    onLine();
  });
}

/** Resolves once this many such lines are in the log. */
async function seen(like: Record<string, unknown>, times = 1): Promise<void> {
  const fits = (line: Record<string, unknown>) =>
    Object.entries(like).every(([name, value]) => line[name] === value);
  while (lines.filter(fits).length < times) {
    await new Promise<void>((resolve) => {
      onLine = resolve;
    });
  }
}

async function bodyOf(req: IncomingMessage): Promise<Record<string, string>> {
  const chunks: Buffer[] = [];
  for await (const chunk of req) chunks.push(chunk as Buffer);
  const text = Buffer.concat(chunks).toString('utf8');
  return text === '' ? {} : (JSON.parse(text) as Record<string, string>);
}

function surroundings() {
  const { port } = server.address() as AddressInfo;
  const audience = `http://127.0.0.1:${port}`;
  const own = log();
  const context = { log: own, presence: new ServerPresence(own), stop: stop.signal };
  return { audience, api: new ApiClient(audience, stop.signal), clock: new ServerClock(), context };
}

describe('following roots and revocations', () => {
  const crl = (kid: string) => `GET ${TRUST}/crl?authority=${kid}`;
  let follower: TrustFollower;
  let changes: number;
  beforeEach(() => {
    const { api, clock, context } = surroundings();
    changes = 0;
    follower = new TrustFollower(api, clusterId, store, clock, context, () => {
      changes += 1;
    });
    served.set(`GET ${TRUST}/bundle`, () => ({ body: authority.certificate }));
    running = follower.run();
  });
  const announce = (epoch: number, trustBundle = fingerprintOf(authority)) =>
    follower.heard({ trustBundle, revocationEpoch: epoch });

  it('acknowledges what it has stored, and nothing before', async () => {
    served.set(crl(authority.kid), async () => ({ body: await authority.list(3) }));
    expect(follower.report()).toEqual({});
    announce(3);
    await seen({ event: 'revocations.applied', epoch: 3 });
    const acknowledged = { trustBundleSeen: fingerprintOf(authority), revocationEpochApplied: 3 };
    expect(follower.report()).toEqual(acknowledged);
    expect(changes).toBe(2); // the bundle, then its list
    const again = await TrustStore.open(directory, { clusterId, nodeId }, log());
    expect(again.current.lists.map(({ epoch }) => epoch)).toEqual([3]);
  });

  it('takes no bundle but the one that was named', async () => {
    announce(0, 'f'.repeat(64));
    await seen({ event: 'trust.refused', reason: 'another_bundle' });
    expect(follower.report()).toEqual({});
  });

  it('asks again while a list is older than the epoch that was named', async () => {
    let epoch = 1;
    const list = () => authority.list(epoch, { thisUpdate: inHours(epoch === 1 ? -2 : -1) });
    served.set(crl(authority.kid), async () => ({ body: await list() }));
    announce(2);
    await seen({ event: 'trust.refused', reason: 'older_than_announced' });
    expect(follower.report()).toMatchObject({ revocationEpochApplied: 1 });
    epoch = 2;
    await seen({ event: 'revocations.applied', epoch: 2 });
    expect(follower.report()).toMatchObject({ revocationEpochApplied: 2 });

    epoch = 1; // somebody replays the old list
    announce(3);
    await seen({ event: 'trust.refused', reason: 'older_than_held' });
    expect(follower.report()).toMatchObject({ revocationEpochApplied: 2 });
  });

  it('applies an epoch only with the lists of all roots', async () => {
    const second = await TestAuthority.make(clusterId);
    const pem = authority.certificate + second.certificate;
    served.set(`GET ${TRUST}/bundle`, () => ({ body: pem }));
    served.set(crl(authority.kid), async () => ({ body: await authority.list(1) }));
    announce(1, sha256(pem));
    await seen({ event: 'trust.failed' });
    expect(follower.report()).toEqual({ trustBundleSeen: sha256(pem) });
    served.set(crl(second.kid), async () => ({ body: await second.list(1) }));
    await seen({ event: 'revocations.applied', epoch: 1 });
  });

  it('fetches a list anew at half of its life', async () => {
    const old = { thisUpdate: inHours(-13), nextUpdate: inHours(11) };
    let served13 = 0;
    served.set(crl(authority.kid), async () => {
      served13 += 1;
      return { body: await authority.list(1, served13 === 1 ? old : {}) };
    });
    announce(1);
    await seen({ event: 'revocations.applied', epoch: 1 });
    announce(1);
    while ((store.current.lists[0]?.thisUpdate ?? inHours(-13)) <= inHours(-13))
      await new Promise(setImmediate);
    expect(served13).toBe(2);
  });
});

describe('keeping a certificate', () => {
  let isDisabled: boolean;
  /** The keys of the node; a rotation puts another one in its place. */
  let keys: { current: NodeKey };
  let forgottenTokens: number;
  beforeEach(async () => {
    isDisabled = false;
    keys = { current: await generateNodeKey() };
    forgottenTokens = 0;
    served.set(ASK, async ({ csr = '', assertion = '' }) => {
      expect(decodeJwt(assertion)).toMatchObject({
        iss: nodeId,
        cluster: clusterId,
        csrHash: sha256(csr, 'base64url'),
      });
      return issued(csr);
    });
  });

  /** A keeper at work, as after a start of the agent. */
  async function keep(): Promise<CertificateKeeper> {
    const { api, audience, clock, context } = surroundings();
    const identity = { nodeId, clusterId, audience, keys: keys as IdentityKeys };
    const wish = { keyType: 'p256', lifetimeSeconds: null } as const;
    const membership = () => (isDisabled ? 'disabled' : 'active');
    const forget = () => {
      forgottenTokens += 1;
    };
    const nodeApi = new NodeApi(api, { get: async () => 'token', forget } as unknown as TokenSource);
    const keeper = new CertificateKeeper(nodeApi, identity, store, clock, context, wish, membership);
    running = keeper.run();
    return keeper;
  }

  async function issued(csr: string): Promise<Served> {
    const certificate = await authority.leaf(readCsr(csr).key, nodeId);
    const [certificateChain, trustBundle] = ['', authority.certificate];
    return {
      status: 201,
      body: { certificate, certificateChain, trustBundle, renewAfter: inHours(8).toISOString() },
    };
  }

  it('renews at once when the service has moved the window into the past', async () => {
    let isTainted = false;
    served.set('GET /api/v1/node-agents/me/certificates/renewal', () => {
      const { serial = '', notAfter } = store.current.certificate ?? {};
      const [start, end] = isTainted ? [inHours(-1), inHours(-1)] : [inHours(8), inHours(9)];
      return { body: { serial, notAfter, suggestedWindow: { start, end } } };
    });
    await keep();
    await seen({ event: 'certificate.issued', reason: 'none' });
    const first = store.current.certificate;
    stop.abort();
    await running;

    stop = new AbortController();
    isTainted = true;
    await keep(); // asks first, since the window may have moved while nobody looked
    await seen({ event: 'certificate.issued', reason: 'due' });
    expect(store.current.certificate?.serial).not.toBe(first?.serial);
    expect(
      createPublicKey(store.current.certificate?.key ?? '').equals(createPublicKey(first?.key ?? '')),
    ).toBe(false);
  });

  it('gives up a request whose key is not taken, and waits no longer than its standing lasts', async () => {
    const csrs: string[] = [];
    served.set(ASK, ({ csr = '' }) => {
      csrs.push(csr);
      if (csrs.length === 1) return { status: 422, body: { code: 'csr_invalid', detail: 'not fresh' } };
      if (isDisabled) return { status: 403, body: { code: 'membership_disabled', detail: 'disabled' } };
      return issued(csr);
    });
    isDisabled = true;
    const keeper = await keep();
    await seen({ event: 'certificate.refused', code: 'csr_invalid' });
    keeper.lookAgain();
    await seen({ event: 'certificate.refused', code: 'membership_disabled' });
    keeper.heard({ authorityTerm: 1 }); // the first word of the service: it may be that something has changed
    await seen({ event: 'certificate.refused', code: 'membership_disabled' }, 2);
    keeper.heard({ authorityTerm: 1 }); // nothing has
    isDisabled = false;
    keeper.heard({ authorityTerm: 1 });
    await seen({ event: 'certificate.issued' });
    expect(csrs).toHaveLength(4);
    expect(new Set(csrs).size).toBe(2);
  });

  it('keeps nothing of a certificate for somebody else', async () => {
    served.set(ASK, async ({ csr = '' }) => {
      const { body } = (await issued(csr)) as { body: object };
      return {
        status: 201,
        body: { ...body, certificate: await authority.leaf(readCsr(csr).key, clusterId) },
      };
    });
    await keep();
    await seen({ event: 'certificate.untrusted', reason: 'another_node' });
    expect(store.current).toEqual({ certificate: null, bundle: null, lists: [] });
    expect(asked).toEqual([ASK]);
  });

  it('gets another one at once when a list names it', async () => {
    const keeper = await keep();
    await seen({ event: 'certificate.issued', reason: 'none' });
    const { certificate, bundle } = store.current;
    const root = bundle?.roots[0] as Root;
    const serial = certificate?.serial ?? '';
    const der = await authority.list(1, { revoked: [{ serial, revokedAt: inHours(0) }] });
    const list = await readRevocationList(der, root, inHours(0));
    await store.update((held) => ({ ...held, lists: [list] }));
    keeper.lookAgain();
    await seen({ event: 'certificate.issued', reason: 'revoked' });
    expect(store.current.certificate?.serial).not.toBe(serial);
  });

  it('takes over the time that comes with a refused proof, and asks again by it', async () => {
    const serverTime = inHours(3);
    const issuedAt: number[] = [];
    served.set(ASK, async ({ csr = '', assertion = '' }) => {
      issuedAt.push(Number(decodeJwt(assertion).iat));
      const detail = 'iat is in the past';
      if (issuedAt.length === 1) return { status: 401, body: { code: 'proof_invalid', detail, serverTime } };
      return issued(csr);
    });
    await keep();
    await seen({ event: 'certificate.refused', code: 'proof_invalid' });
    await seen({ event: 'certificate.issued' });
    expect(Math.abs(Number(issuedAt[1]) - serverTime.getTime() / 1_000)).toBeLessThan(60);
    expect(forgottenTokens).toBe(0);
  });

  it("asks with the key that is the node's by then when its proof is by another one, with the same request", async () => {
    const next = await generateNodeKey();
    const csrs: string[] = [];
    served.set(ASK, async ({ csr = '', assertion = '' }) => {
      csrs.push(csr);
      const isByNext = await jwtVerify(assertion, await importJWK(next.publicJwk as JWK, 'EdDSA')).then(
        () => true,
        () => false,
      );
      if (isByNext) return issued(csr);
      const detail = 'It is not signed by the identity key.';
      return { status: 401, body: { code: 'proof_invalid', detail, serverTime: inHours(0) } };
    });
    await keep(); // the control plane knows a newer key: the answer to a rotation was lost
    await seen({ event: 'certificate.refused', code: 'proof_invalid' }, 2);
    keys.current = next; // the rotation was repeated
    await seen({ event: 'certificate.issued' });
    expect(new Set(csrs).size).toBe(1);
    expect(forgottenTokens).toBe(0);
    expect(lines.filter(({ event }) => event === 'refused')).toEqual([]);
  });
});

function fingerprintOf({ certificate }: TestAuthority): string {
  return sha256(certificate);
}

function sha256(text: string, encoding: 'hex' | 'base64url' = 'hex'): string {
  return createHash('sha256').update(text).digest(encoding);
}
