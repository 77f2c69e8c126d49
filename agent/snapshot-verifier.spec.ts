import { generateKeyPair, type KeyObject } from 'node:crypto';
import { promisify } from 'node:util';
import { beforeAll, describe, expect, it } from '@jest/globals';
import { CompactSign, type JWK } from 'jose';
import { type SnapshotExpectation, verifySnapshot } from './snapshot-verifier.js';

const now = new Date('2026-03-01T12:00:00.000Z');
const cluster = '0195f000-0000-7000-8000-000000000001';
const node = '0195f000-0000-7000-8000-000000000002';

const good = {
  schema: 'rap.cluster_snapshot.v1',
  clusterId: cluster,
  nodeId: node,
  generation: 7,
  authorityTerm: 2,
  issuedAt: '2026-03-01T11:00:00.000Z',
  expiresAt: '2026-03-02T11:00:00.000Z',
  degradedGraceSeconds: 86_400,
  membership: { status: 'active' },
  roles: [{ role: 'vpn-exit', organizationId: null, policy: null, validFrom: null, validUntil: null }],
};
const goodHeader = { alg: 'EdDSA', typ: 'rap-snapshot+jws', kid: 'key-1' };
const held = { authorityTerm: 2, generation: 7, issuedAt: '2026-03-01T11:00:00.000Z' };

/** Not `generateKeyPairSync`, whose keys may wait for themselves when they are exported; see `generateNodeKey`. */
const newKeyPair = promisify(generateKeyPair);

let signer: KeyObject;
let expected: SnapshotExpectation;

beforeAll(async () => {
  const { publicKey, privateKey } = await newKeyPair('ed25519');
  signer = privateKey;
  const jwk: JWK = { ...publicKey.export({ format: 'jwk' }), kid: 'key-1' };
  expected = { clusterId: cluster, nodeId: node, keys: [jwk], held, now };
});

async function signed(payload: unknown, header: object = {}, key: KeyObject = signer): Promise<string> {
  const text = typeof payload === 'string' ? payload : JSON.stringify(payload);
  return new CompactSign(Buffer.from(text)).setProtectedHeader({ ...goodHeader, ...header }).sign(key);
}

const encode = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url');

describe('verifySnapshot', () => {
  it.each<[string, object]>([
    ['the one that it holds already', {}],
    ['an equal generation issued later', { issuedAt: '2026-03-01T11:30:00.000Z' }],
    ['a higher generation, whenever it was issued', { generation: 8, issuedAt: '2026-03-01T10:00:00.000Z' }],
    ['a higher term', { authorityTerm: 3 }],
    ['a lower generation under a higher term, as after a restore', { authorityTerm: 3, generation: 1 }],
    ['members that it does not know', { storage: { anything: 1 } }],
    ['a role without its optional members', { roles: [{ role: 'core-mesh' }] }],
  ])('accepts %s', async (_, change) => {
    const verdict = await verifySnapshot(await signed({ ...good, ...change }), expected);
    expect(verdict).toMatchObject({ accepted: true, snapshot: { clusterId: cluster } });
  });

  it.each<[string, string[], string[]]>([
    ['takes on the keys that it announces', ['key-1', 'key-2'], ['key-1', 'key-2']],
    ['gives up those that it announces no more', ['key-1'], ['key-1']],
    ['passes over an announcement without the key that signed it', ['key-2'], ['key-1']],
    ['keeps its keys where nothing is announced', [], ['key-1']],
  ])('%s', async (_, announced, kept) => {
    const snapshotKeys = announced.map((kid) => ({ ...expected.keys[0], kid }));
    const verdict = await verifySnapshot(await signed({ ...good, trust: { snapshotKeys } }), expected);
    expect(verdict.accepted ? verdict.keys.map(({ kid }) => kid) : verdict.reason).toEqual(kept);
  });

  it('takes on no key of a kind that it cannot check', async () => {
    const strange = [{ kty: 'EC', crv: 'P-256', x: 'x', y: 'y', kid: 'key-2' }, { kid: 'key-3' }, 'key-4'];
    const trust = { snapshotKeys: [...expected.keys, ...strange] };
    const verdict = await verifySnapshot(await signed({ ...good, trust }), expected);
    expect(verdict.accepted ? verdict.keys.map(({ kid }) => kid) : verdict.reason).toEqual(['key-1']);
  });

  it('accepts any generation as the first', async () => {
    const verdict = await verifySnapshot(await signed({ ...good, generation: 0 }), {
      ...expected,
      held: null,
    });
    expect(verdict.accepted).toBe(true);
  });

  it('looks past the expiry of one read back from disk', async () => {
    const old = await signed({ ...good, expiresAt: '2026-03-01T11:30:00.000Z' });
    expect((await verifySnapshot(old, { ...expected, now: null })).accepted).toBe(true);
  });

  it.each<[string, object, string]>([
    ['for another node', { nodeId: cluster }, 'wrong_node'],
    ['for another cluster', { clusterId: node }, 'wrong_cluster'],
    ['of another schema', { schema: 'rap.cluster_snapshot.v2' }, 'wrong_schema'],
    ['of a lower generation', { generation: 6, issuedAt: '2026-03-01T11:30:00.000Z' }, 'generation_too_low'],
    ['of a lower term', { authorityTerm: 1, generation: 9 }, 'term_too_low'],
    [
      'of the same generation but issued earlier',
      { issuedAt: '2026-03-01T10:59:59.999Z' },
      'issued_before_held',
    ],
    ['that expires exactly now', { expiresAt: now.toISOString() }, 'expired'],
    ['that expired before', { expiresAt: '2026-03-01T11:30:00.000Z' }, 'expired'],
    ['without roles', { roles: undefined }, 'malformed'],
    ['without membership', { membership: undefined }, 'malformed'],
    ['with a generation that is no whole number', { generation: 7.5 }, 'malformed'],
    ['with a generation as text', { generation: '8' }, 'malformed'],
    ['with a time that is none', { expiresAt: 'tomorrow' }, 'malformed'],
    ['with a role whose bound is no time', { roles: [{ role: 'x', validUntil: 5 }] }, 'malformed'],
  ])('refuses one %s', async (_, change, reason) => {
    const jws = await signed({ ...good, ...change });
    expect(await verifySnapshot(jws, expected)).toEqual({ accepted: false, reason });
  });

  it('refuses one signed by another key under the right kid', async () => {
    const { privateKey } = await newKeyPair('ed25519');
    const jws = await signed(good, {}, privateKey);
    expect(await verifySnapshot(jws, expected)).toEqual({ accepted: false, reason: 'bad_signature' });
  });

  it('refuses a key that came inside the header', async () => {
    const { publicKey, privateKey } = await newKeyPair('ed25519');
    const jws = await signed(good, { jwk: publicKey.export({ format: 'jwk' }), kid: 'mine' }, privateKey);
    expect(await verifySnapshot(jws, expected)).toEqual({ accepted: false, reason: 'unknown_key' });
  });

  it.each([
    ['another kid', { kid: 'key-2' }, 'unknown_key'],
    ['no kid', { kid: undefined }, 'unknown_key'],
    ['another type', { typ: 'JWT' }, 'wrong_type'],
    ['no type', { typ: undefined }, 'wrong_type'],
  ])('refuses a header with %s', async (_, header, reason) => {
    expect(await verifySnapshot(await signed(good, header), expected)).toEqual({ accepted: false, reason });
  });

  it.each(['none', 'HS256', 'ES256'])('refuses algorithm %s, whatever the signature', async (alg) => {
    const jws = `${encode({ ...goodHeader, alg })}.${encode(good)}.`;
    expect(await verifySnapshot(jws, expected)).toEqual({ accepted: false, reason: 'wrong_algorithm' });
  });

  it('refuses a payload that was changed after signing', async () => {
    const [header, , signature] = (await signed(good)).split('.');
    const jws = `${header}.${encode({ ...good, generation: 8 })}.${signature}`;
    expect(await verifySnapshot(jws, expected)).toEqual({ accepted: false, reason: 'bad_signature' });
  });

  it('never takes a key of another kind, even under the right kid', async () => {
    const { publicKey } = await newKeyPair('ec', { namedCurve: 'P-256' });
    const keys = [{ ...publicKey.export({ format: 'jwk' }), kid: 'key-1' }];
    const verdict = await verifySnapshot(await signed(good), { ...expected, keys });
    expect(verdict).toEqual({ accepted: false, reason: 'unknown_key' });
  });

  it.each(['', 'x', 'a.b', 'a.b.c', 'a.b.c.d', '...'])('refuses %p, which is no JWS', async (jws) => {
    expect(await verifySnapshot(jws, expected)).toEqual({ accepted: false, reason: 'malformed' });
  });

  it.each(['[]', 'null', '"text"', 'no json'])('refuses the signed payload %p', async (payload) => {
    expect((await verifySnapshot(await signed(payload), expected)).accepted).toBe(false);
  });
});
