import { createHash, createPrivateKey, createPublicKey } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { Log } from '../../agent/log.js';
import { takeCertificate } from '../../agent/trust/certificate-intake.js';
import {
  type CertificateKeyType,
  type CertificateRequest,
  makeCertificateRequest,
} from '../../agent/trust/certificate-request.js';
import { type CertificateTexts, readNodeCertificate } from '../../agent/trust/node-certificate.js';
import { isNoOlder, readRevocationList } from '../../agent/trust/revocation-list.js';
import { readTrustBundle, type TrustBundle } from '../../agent/trust/trust-bundle.js';
import { appliedEpoch, TrustStore } from '../../agent/trust/trust-store.js';
import { readCsr } from '../../src/modules/trust/csr.js';
import { inHours, TestAuthority } from '../support/test-authority.js';

const clusterId = '0195f000-0000-7000-8000-000000000001';
const otherId = '0195f000-0000-7000-8000-000000000009';
const nodeId = '0195f000-0000-7000-8000-000000000002';
const wish = { keyType: 'p256', lifetimeSeconds: null } as const;
const notes = { ...wish, obtainedAt: inHours(0).toISOString(), renewAfter: null };
const now = inHours(0);

let authority: TestAuthority;
let other: TestAuthority;
let request: CertificateRequest;
let bundle: TrustBundle;
const publicOf = (key: string) => createPublicKey(createPrivateKey(key));
beforeAll(async () => {
  [authority, other] = await Promise.all([TestAuthority.make(clusterId), TestAuthority.make(otherId)]);
  request = await makeCertificateRequest('p256');
  bundle = await readTrustBundle(authority.certificate, { clusterId, now });
});

const refusing = (reason: string) => expect.objectContaining({ name: 'Untrusted', reason });

describe('a certificate request of the agent', () => {
  it.each(['p256', 'ed25519'] as const)('over a %s key is one that the service takes', async (keyType) => {
    const { csr, key } = await makeCertificateRequest(keyType);
    expect(readCsr(csr).key.equals(publicOf(key))).toBe(true);
  });
});

describe('a certificate', () => {
  const read = async (change: Partial<CertificateTexts>, expected: { now?: Date } = {}) =>
    readNodeCertificate(
      {
        key: request.key,
        certificate: await authority.leaf(publicOf(request.key), nodeId),
        intermediates: '',
        ...change,
      },
      notes,
      { clusterId, nodeId, bundle, now, ...expected },
    );
  const leafFor = (id: string, more: object = {}) => authority.leaf(publicOf(request.key), id, more);

  it('over the own key, for this node, by a root of the bundle and in its time is taken', async () => {
    expect(await read({})).toMatchObject({ serial: expect.stringMatching(/^[0-9A-F]{32}$/), ...wish });
  });

  it.each<[string, string, () => Promise<Partial<CertificateTexts>>]>([
    ['over another key', 'another_key', async () => ({ key: (await makeCertificateRequest('p256')).key })],
    ['for another node', 'another_node', async () => ({ certificate: await leafFor(otherId) })],
    [
      'for another cluster',
      'another_node',
      async () => ({ certificate: await leafFor(nodeId, { clusterId: otherId }) }),
    ],
    [
      'by an authority that is not in the bundle',
      'no_path_to_bundle',
      async () => ({ certificate: await other.leaf(publicOf(request.key), nodeId, { clusterId }) }),
    ],
    [
      'with a chain that leads nowhere',
      'no_path_to_bundle',
      async () => ({ intermediates: other.certificate }),
    ],
    [
      'that is over',
      'out_of_time',
      async () => ({ certificate: await leafFor(nodeId, { notAfter: inHours(-0.5) }) }),
    ],
    [
      'that has not begun',
      'out_of_time',
      async () => ({ certificate: await leafFor(nodeId, { notBefore: inHours(1) }) }),
    ],
    ['that is none', 'malformed', async () => ({ certificate: 'hello' })],
    ['of two', 'malformed', async () => ({ certificate: (await leafFor(nodeId)) + (await leafFor(nodeId)) })],
    ['that is an authority', 'another_key', async () => ({ certificate: authority.certificate })],
  ])('%s is not', async (_, reason, change) => {
    await expect(change().then(read)).rejects.toEqual(refusing(reason));
  });
});

describe('a trust bundle', () => {
  const read = (pem: string) => readTrustBundle(pem, { clusterId, now });

  it('is known by the hash of its text, and its roots by the thumbprints of their keys', async () => {
    const second = await TestAuthority.make(clusterId);
    const pem = authority.certificate + second.certificate;
    const { fingerprint, roots } = await read(pem);
    expect(fingerprint).toBe(createHash('sha256').update(pem).digest('hex'));
    expect(roots.map(({ kid }) => kid)).toEqual([authority.kid, second.kid]);
  });

  it.each<[string, string, () => Promise<string>]>([
    ['that is empty', 'malformed', async () => ''],
    ['of too many', 'malformed', async () => authority.certificate.repeat(17)],
    ['of another cluster', 'another_cluster', async () => authority.certificate + other.certificate],
    [
      'with a certificate that is no root',
      'no_authority',
      () => authority.leaf(publicOf(request.key), nodeId),
    ],
    [
      'of which nothing is in its time',
      'out_of_time',
      async () => (await TestAuthority.make(clusterId, [-5, -1])).certificate,
    ],
  ])('%s is refused', async (_, reason, make) => {
    await expect(make().then(read)).rejects.toEqual(refusing(reason));
  });
});

describe('a revocation list', () => {
  const read = (der: Uint8Array) => readRevocationList(der, bundle.roots[0] as TrustBundle['roots'][0], now);

  it.each([0, 1, 127, 128, 255, 256, 4_294_967_296])('tells its epoch, %d', async (epoch) => {
    expect(await read(await authority.list(epoch))).toMatchObject({ authorityKid: authority.kid, epoch });
  });

  it.each<[string, string, () => Promise<Uint8Array>]>([
    ['by another authority', 'bad_signature', () => other.list(1)],
    [
      'in the name of the authority, by another key',
      'bad_signature',
      () => other.list(1, { issuer: authority.certificate }),
    ],
    ['that is over', 'out_of_time', () => authority.list(1, { nextUpdate: inHours(-1) })],
    ['of the future', 'out_of_time', () => authority.list(1, { thisUpdate: inHours(1) })],
    ['that is none', 'malformed', async () => Buffer.from('hello')],
  ])('%s is refused', async (_, reason, make) => {
    await expect(make().then(read)).rejects.toEqual(refusing(reason));
  });

  it.each<[string, [number, number], [number, number], boolean]>([
    ['of a later epoch', [-1, 5], [-2, 4], true],
    ['of the same epoch, made again', [-1, 5], [-2, 5], true],
    ['of the same second and a later epoch', [-1, 6], [-1, 5], true],
    ['that is the same', [-1, 5], [-1, 5], true],
    ['of the same second and an earlier epoch', [-1, 4], [-1, 5], false],
    ['that is older, replayed', [-2, 4], [-1, 5], false],
    ['of a lower epoch signed later, as after a restore', [-1, 3], [-2, 5], true],
  ])('%s follows: %#', async (_, [at, epoch], [heldAt, heldEpoch], follows) => {
    // From one look at the clock: two could lie on both sides of a full second.
    const from = now.getTime();
    const make = async (hour: number, number: number) =>
      read(await authority.list(number, { thisUpdate: new Date(from + hour * 3_600_000) }));
    expect(isNoOlder(await make(at, epoch), await make(heldAt, heldEpoch))).toBe(follows);
  });
});

describe('what is held', () => {
  let directory: string;
  const lines: string[] = [];
  const log = new Log('debug', (line) => void lines.push(line));
  const open = () => TrustStore.open(directory, { clusterId, nodeId }, log);
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'agent-trust-'));
  });
  afterEach(() => rm(directory, { recursive: true, force: true }));

  // Once for all: two looks at the clock could lie on both sides of a full second.
  const renewAfter = inHours(8).toISOString();
  const answer = async (key: string, by = authority) => ({
    certificate: await by.leaf(publicOf(key), nodeId, { clusterId }),
    certificateChain: '',
    trustBundle: by.certificate,
    renewAfter,
  });
  const requestIn = ({ requests, current }: TrustStore, keyType: CertificateKeyType = 'p256') =>
    requests.open(keyType, current.certificate?.key ?? null);
  const order = (key: string) => ({ key, wish, nodeId, clusterId, now });

  it('is there again after a restart, with its lists and the instant of its renewal', async () => {
    const store = await open();
    const { key } = await requestIn(store);
    await takeCertificate(store, await answer(key), order(key));
    const list = await readRevocationList(
      await authority.list(7),
      bundle.roots[0] as TrustBundle['roots'][0],
      now,
    );
    await store.update((held) => ({ ...held, lists: [list] }));
    const again = (await open()).current;
    expect(again.certificate).toEqual(store.current.certificate);
    expect(again.certificate?.renewAfter).toBe(renewAfter);
    expect(again.bundle?.pem).toBe(authority.certificate);
    expect(appliedEpoch(again)).toBe(7);
    expect(lines).toEqual([]);
  });

  it('stays when what comes does not hold, and so does the request', async () => {
    const store = await open();
    const { key } = await requestIn(store);
    await takeCertificate(store, await answer(key), order(key));
    const before = store.current;
    const next = await requestIn(store);
    expect(next.key).not.toBe(key);
    const foreign = { ...(await answer(next.key)), trustBundle: other.certificate };
    await expect(takeCertificate(store, foreign, order(next.key))).rejects.toEqual(
      refusing('another_cluster'),
    );
    const wrong = await answer(key);
    await expect(takeCertificate(store, wrong, order(next.key))).rejects.toEqual(refusing('another_key'));
    expect(store.current).toBe(before);
    expect((await open()).current.certificate).toEqual(before.certificate);
    expect((await requestIn(store)).key).toBe(next.key);
  });

  it('gets a new key for each renewal, and the same one for a repeat', async () => {
    const store = await open();
    const first = await requestIn(store);
    expect(await requestIn(await open())).toEqual(first);
    await takeCertificate(store, await answer(first.key), order(first.key));
    const second = await requestIn(store);
    expect(second.key).not.toBe(first.key);
    expect((await requestIn(store, 'ed25519')).keyType).toBe('ed25519');
  });

  it('gets a new key also when a crash came between certificate and end of the request', async () => {
    const store = await open();
    const { key } = await requestIn(store);
    const certificate = readNodeCertificate(
      { key, certificate: (await answer(key)).certificate, intermediates: '' },
      notes,
      { clusterId, nodeId, bundle, now },
    );
    await store.update((held) => ({ ...held, bundle, certificate }));
    expect((await requestIn(await open())).key).not.toBe(key);
  });

  it('of another node or cluster is not believed', async () => {
    const store = await open();
    const { key } = await requestIn(store);
    await takeCertificate(store, await answer(key), order(key));
    lines.length = 0;
    const elsewhere = await TrustStore.open(directory, { clusterId, nodeId: otherId }, log);
    expect(elsewhere.current).toMatchObject({ certificate: null, bundle: { pem: authority.certificate } });
    const abroad = await TrustStore.open(directory, { clusterId: otherId, nodeId }, log);
    expect(abroad.current).toEqual({ certificate: null, bundle: null, lists: [] });
    expect(lines.map((line) => JSON.parse(line).event)).toEqual([
      'trust.stored_refused',
      'trust.stored_refused',
    ]);
  });
});
