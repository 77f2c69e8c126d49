import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { calculateJwkThumbprint, decodeJwt } from 'jose';
import { type Answer, type Api, apiClient } from '../support/api.js';
import { type ControlPlane, startControlPlane } from '../support/control-plane.js';
import { created, given } from '../support/given.js';
import { type FreshKey, freshKey, type RotationFaults, rotationBody, signWith } from '../support/rotation.js';
import { alsoIn } from '../support/second-membership.js';
import { admittedNode, type TestNode } from '../support/test-node.js';

const PATH = '/node-agents/me/identity/rotate';

describe('the rotation of an identity', () => {
  let plane: ControlPlane;
  let api: Api;
  beforeAll(async () => {
    plane = await startControlPlane();
    api = plane.api;
  });
  afterAll(() => plane.close());

  const at = (node: TestNode) => `/clusters/${node.clusterId}/nodes/${node.nodeId}`;
  const keysOf = async (node: TestNode) =>
    (await api.get(`${at(node)}/identity`)).body.keys as { thumbprint: string; status: string }[];
  const thumbprint = (node: TestNode) => calculateJwkThumbprint(node.publicKey);
  const rotate = async (node: TestNode, key: FreshKey, faults?: RotationFaults): Promise<Answer> =>
    (await node.api()).post(PATH, await rotationBody(node, key, faults));
  /** Lets the overlap of the keys that were replaced end. */
  const endOverlap = (node: TestNode) =>
    plane.database.query(
      `UPDATE node_identities SET valid_until = now() - make_interval(secs => 0.001) WHERE node_id = $1 AND valid_until IS NOT NULL`,
      [node.nodeId],
    );
  const refusal = ({ status, body }: Answer) => [status, body.code];

  it.each(['EdDSA', 'ES256'] as const)('puts a new key (%s) in the place of the old one', async (alg) => {
    const node = await admittedNode(plane);
    const key = await freshKey(alg);
    const renewed = node.withKey(key);
    const before = Date.now();
    const answer = await rotate(node, key);
    expect([answer.status, answer.body]).toEqual([
      200,
      {
        nodeId: node.nodeId,
        clusterId: node.clusterId,
        keyThumbprint: await thumbprint(renewed),
        previousKeyThumbprint: await thumbprint(node),
        previousKeyValidUntil: expect.stringMatching(/Z$/),
      },
    ]);
    const overlapMs = Date.parse(answer.body.previousKeyValidUntil) - before;
    expect(overlapMs).toBeGreaterThan(50_000);
    expect(overlapMs).toBeLessThan(120_000);
    expect((await renewed.requestToken()).status).toBe(200);
    expect(await keysOf(node)).toMatchObject([
      { thumbprint: await thumbprint(renewed), status: 'active', publicKey: key.publicJwk, validUntil: null },
      {
        thumbprint: await thumbprint(node),
        status: 'rotated',
        validUntil: answer.body.previousKeyValidUntil,
      },
    ]);
    const { items } = (await api.get(`/audit/events?resourceId=${node.nodeId}&action=node_identity.rotated`))
      .body;
    expect(items).toMatchObject([
      {
        actor: { type: 'node', id: node.nodeId },
        before: { keyThumbprint: await thumbprint(node) },
        after: {
          keyThumbprint: await thumbprint(renewed),
          previousKeyValidUntil: answer.body.previousKeyValidUntil,
        },
      },
    ]);
  });

  it('leaves the old key its tokens for the overlap, none of which outlives it', async () => {
    const node = await admittedNode(plane);
    const renewed = node.withKey(await freshKey());
    const key = await freshKey();
    created(await rotate(node, key));
    const token = await node.requestToken();
    expect(token.status).toBe(200);
    expect(token.body.expires_in).toBeLessThanOrEqual(60);
    const { exp = 0, iat = 0 } = decodeJwt(token.body.access_token);
    expect(exp - iat).toBe(token.body.expires_in);
    expect((await node.withKey(key).requestToken()).body.expires_in).toBe(900);
    await endOverlap(node);
    const late = await node.requestToken();
    expect([late.status, late.body.error]).toEqual([401, 'invalid_client']);
    expect((await node.withKey(key).requestToken()).status).toBe(200);
    expect((await renewed.requestToken()).status).toBe(401);
  });

  it('answers the same again, also when the overlap is over, and changes nothing', async () => {
    const node = await admittedNode(plane);
    const key = await freshKey();
    const agent = await node.api();
    const body = await rotationBody(node, key);
    const first = created(await agent.post(PATH, body));
    expect(created(await agent.post(PATH, body))).toEqual(first);
    expect(created(await agent.post(PATH, await rotationBody(node, key)))).toEqual(first);
    await endOverlap(node);
    expect(await agent.post(PATH, body)).toMatchObject({
      status: 200,
      body: { keyThumbprint: (first as { keyThumbprint: string }).keyThumbprint },
    });
    const { items } = (await api.get(`/audit/events?resourceId=${node.nodeId}&action=node_identity.rotated`))
      .body;
    expect(items).toHaveLength(1);
    expect(await keysOf(node)).toHaveLength(2);
  });

  it('of ten at once to ten keys makes one, and to one key makes one for all', async () => {
    const node = await admittedNode(plane);
    const agent = await node.api();
    const keys = await Promise.all(Array.from({ length: 10 }, () => freshKey()));
    const answers = await Promise.all(
      keys.map(async (key) => agent.post(PATH, await rotationBody(node, key))),
    );
    expect(answers.map((answer) => answer.body.code ?? answer.status).sort()).toEqual([
      200,
      ...Array.from({ length: 9 }, () => 'identity_already_rotated'),
    ]);
    const other = await admittedNode(plane);
    const body = await rotationBody(other, await freshKey());
    const otherAgent = await other.api();
    const same = await Promise.all(Array.from({ length: 10 }, () => otherAgent.post(PATH, body)));
    expect(new Set(same.map((answer) => JSON.stringify(answer.body))).size).toBe(1);
    expect(same[0]?.status).toBe(200);
    expect(await keysOf(other)).toHaveLength(2);
  });

  it('can follow a rotation, by the new key alone', async () => {
    const node = await admittedNode(plane);
    const [second, third, fourth] = [await freshKey(), await freshKey(), await freshKey()];
    created(await rotate(node, second));
    expect(refusal(await rotate(node, third))).toEqual([409, 'identity_already_rotated']);
    created(await rotate(node.withKey(second), third));
    const bearer = node.withKey(third);
    const agent = await bearer.api();
    // The first key is two rotations old: not even a repeat of its own is known any more.
    expect(refusal(await agent.post(PATH, await rotationBody(node, second)))).toEqual([401, 'proof_invalid']);
    expect(refusal(await agent.post(PATH, await rotationBody(node, fourth)))).toEqual([401, 'proof_invalid']);
    created(await rotate(bearer, fourth));
    expect((await keysOf(node)).map(({ status }) => status)).toEqual([
      'active',
      'rotated',
      'rotated',
      'rotated',
    ]);
  });

  it('is for a disabled member too, and while the cluster is partitioned', async () => {
    const node = await admittedNode(plane);
    created(await api.post(`${at(node)}/disable`));
    const move = { to: 'partitioned', reason: 'Test.', expectedTerm: 1 };
    created(await api.post(`/clusters/${node.clusterId}/authority/transitions`, move));
    expect((await rotate(node, await freshKey())).status).toBe(200);
  });

  it('ends with the node: a revocation ends every key, overlap or not', async () => {
    const node = await admittedNode(plane);
    const key = await freshKey();
    created(await rotate(node, key));
    const agent = await node.withKey(key).api();
    created(await api.post(`${at(node)}/revoke`, { reason: 'Gone.' }));
    for (const each of [node, node.withKey(key)]) expect((await each.requestToken()).status).toBe(401);
    expect((await agent.post(PATH, await rotationBody(node.withKey(key), await freshKey()))).status).toBe(
      401,
    );
    expect((await keysOf(node)).map(({ status }) => status)).toEqual(['revoked', 'revoked']);
  });

  it('keeps the dates of the certificate, which is for a key of its own', async () => {
    const node = await admittedNode(plane);
    await plane.database.query(
      `UPDATE node_identities SET certificate_serial = 'AB', certificate_not_before = '2026-01-01T00:00:00Z',
              certificate_not_after = '2026-01-02T00:00:00Z' WHERE node_id = $1`,
      [node.nodeId],
    );
    created(await rotate(node, await freshKey()));
    expect((await keysOf(node))[0]).toMatchObject({ certificate: { serial: 'AB' } });
  });

  describe('refuses', () => {
    const hostile: [string, (node: TestNode) => Promise<Answer>][] = [
      [
        'an inner JWS by another key than newPublicKey',
        async (node) => rotate(node, await freshKey(), { inner: await freshKey() }),
      ],
      [
        'an inner JWS by the old key',
        async (node) => {
          const key = await freshKey();
          const body = await rotationBody(node, key, { claims: {} });
          const inner = await node.sign({ nodeId: node.nodeId });
          return (await node.api()).post(PATH, { ...body, proof: await node.signText(inner) });
        },
      ],
      [
        'an outer JWS by the new key',
        async (node) => {
          const key = await freshKey();
          return rotate(node, key, { outer: { sign: (payload) => signWith(key, payload) } });
        },
      ],
      [
        'an outer JWS by a stranger',
        async (node) => {
          const stranger = await freshKey();
          return rotate(node, await freshKey(), {
            outer: { sign: (payload) => signWith(stranger, payload) },
          });
        },
      ],
      [
        'an outer JWS by another node of the cluster',
        async (node) => {
          const neighbour = await admittedNode(plane, node.clusterId);
          return rotate(node, await freshKey(), {
            outer: { sign: (payload) => neighbour.signText(payload) },
          });
        },
      ],
      [
        'the proof of another node, with the own token',
        async (node) => {
          const neighbour = await admittedNode(plane, node.clusterId);
          return (await node.api()).post(PATH, await rotationBody(neighbour, await freshKey()));
        },
      ],
      [
        'a proof of the same host for another cluster',
        async (node) => {
          const there = await alsoIn(plane, node, (await given(plane).cluster()).id);
          const claims = { clusterId: there.clusterId };
          return rotate(node, await freshKey(), { claims });
        },
      ],
      [
        'a proof for another node id',
        async (node) => rotate(node, await freshKey(), { claims: { nodeId: node.clusterId } }),
      ],
      [
        'the thumbprint of another key',
        async (node) =>
          rotate(node, await freshKey(), { claims: { newKeyThumbprint: await thumbprint(node) } }),
      ],
      ['no jti', async (node) => rotate(node, await freshKey(), { claims: { jti: undefined } })],
      ['an iat that is a text', async (node) => rotate(node, await freshKey(), { claims: { iat: 'now' } })],
      [
        'an inner JWS that is no JWS',
        async (node) => rotate(node, await freshKey(), { outer: { sign: () => node.signText('{}') } }),
      ],
      [
        'alg none',
        async (node) => {
          const none = (payload: string) =>
            [JSON.stringify({ alg: 'none' }), payload, '']
              .map((part) => Buffer.from(part).toString('base64url'))
              .join('.');
          return rotate(node, await freshKey(), { outer: { sign: async (payload) => none(payload) } });
        },
      ],
      [
        'a proof that is no JWS',
        async (node) => rotate(node, await freshKey(), { outer: { sign: async () => 'x' } }),
      ],
    ];

    it.each(hostile)('%s, and changes nothing', async (_, attempt) => {
      const node = await admittedNode(plane);
      const answer = await attempt(node);
      expect(refusal(answer)).toEqual([401, 'proof_invalid']);
      expect(answer.body.serverTime).toMatch(/Z$/);
      expect(await keysOf(node)).toHaveLength(1);
      expect((await node.requestToken()).status).toBe(200);
    });

    it('another audience, and says which it expects', async () => {
      const node = await admittedNode(plane);
      const answer = await rotate(node, await freshKey(), { claims: { aud: 'https://elsewhere.example' } });
      expect([...refusal(answer), answer.body.expectedAudience]).toEqual([401, 'proof_invalid', plane.url]);
    });

    // The future comes nearer while a busy machine takes its time.
    it.each([-301, 360])('an iat that is %d s off', async (seconds) => {
      const node = await admittedNode(plane);
      const iat = Math.floor(Date.now() / 1000) + seconds;
      const answer = await rotate(node, await freshKey(), { claims: { iat } });
      expect(refusal(answer)).toEqual([401, 'proof_invalid']);
      expect(answer.body.detail).toMatch(/300 s/);
    });

    it('RSA, private keys, other curves and points off the curve', async () => {
      const node = await admittedNode(plane);
      const agent = await node.api();
      const { publicJwk } = await freshKey('ES256');
      const { proof } = await rotationBody(node, await freshKey());
      const keys: unknown[] = [
        (await freshKey('RS256')).publicJwk,
        { ...(await freshKey()).publicJwk, d: 'x'.repeat(43) },
        { ...publicJwk, crv: 'P-384' },
        { ...publicJwk, y: publicJwk.x },
        {},
      ];
      for (const newPublicKey of keys) {
        const answer = await agent.post(PATH, { newPublicKey, proof });
        expect([answer.status, answer.body.errors[0].pointer]).toEqual([
          422,
          expect.stringMatching(/^#\/newPublicKey/),
        ]);
      }
    });

    it('a key that is or was that of any node', async () => {
      const node = await admittedNode(plane);
      const stranger = await admittedNode(plane);
      const key = await freshKey();
      created(await rotate(stranger, key));
      // The neighbour lends its key: possession is proven, and still it is taken.
      expect(refusal(await rotate(node, key))).toEqual([409, 'key_already_enrolled']);
      const own = await freshKey();
      created(await rotate(node, own));
      expect(refusal(await rotate(node.withKey(own), own))).toEqual([409, 'key_already_enrolled']);
      expect(await keysOf(node)).toHaveLength(2);
    });

    it('a proof replayed after the next rotation', async () => {
      const node = await admittedNode(plane);
      const [second, third] = [await freshKey(), await freshKey()];
      const body = await rotationBody(node, second);
      created(await (await node.api()).post(PATH, body));
      created(await rotate(node.withKey(second), third));
      const replay = await (await node.withKey(third).api()).post(PATH, body);
      expect(refusal(replay)).toEqual([401, 'proof_invalid']);
      expect((await keysOf(node))[0]?.thumbprint).toBe(await calculateJwkThumbprint(third.publicJwk));
    });

    it('everybody but nodes', async () => {
      const node = await admittedNode(plane);
      const body = await rotationBody(node, await freshKey());
      expect((await api.post(PATH, body)).status).toBe(403);
      expect((await apiClient(plane.url, null).post(PATH, body)).status).toBe(401);
    });

    it('a proof that is too long', async () => {
      const node = await admittedNode(plane);
      const { newPublicKey } = await rotationBody(node, await freshKey());
      const answer = await (await node.api()).post(PATH, { newPublicKey, proof: 'x'.repeat(8_193) });
      expect([answer.status, answer.body.errors[0].pointer]).toEqual([422, '#/proof']);
    });
  });
});
