import { createHmac, randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { newKeyPair } from '../../src/common/crypto/new-key-pair.js';
import type { Answer, Api } from '../support/api.js';
import { Applicant, countByStatus, send } from '../support/applicant.js';
import { type ControlPlane, startControlPlane } from '../support/control-plane.js';
import { created, given } from '../support/given.js';
import { rawHttp } from '../support/raw-http.js';
import { admittedNode } from '../support/test-node.js';

const limits = { unknownCredentialsPerMinute: 10_000, principalPerMinute: 100_000 };

let plane: ControlPlane;
let api: Api;
let clusterId: string;
beforeAll(async () => {
  plane = await startControlPlane({ config: { limits } });
  api = plane.api;
  clusterId = (await given(plane).cluster()).id;
});
afterAll(() => plane?.close());

const joinToken = (input: Record<string, unknown> = {}) => given(plane).joinToken(clusterId, input);
const part = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');
const refusal = ({ status, body }: Answer) => [status, body.code ?? body.error];
/** Nothing may be left of a refused attempt: no request, no use. */
async function leftBy(tokenId: string): Promise<number[]> {
  const { items } = (await api.get(`/clusters/${clusterId}/join-requests?tokenId=${tokenId}`)).body;
  const { usedCount } = (await api.get(`/clusters/${clusterId}/join-tokens/${tokenId}`)).body;
  return [items.length, usedCount];
}

/** What somebody who knows only the public key could take for the secret of an HMAC. */
function publicSecrets(jwk: Record<string, unknown>): [string, Buffer][] {
  const imported = Applicant.publicKeyOf(jwk);
  return [
    ['its coordinate', Buffer.from(String(jwk.x), 'base64url')],
    ['its DER', imported.export({ format: 'der', type: 'spki' })],
    ['its PEM', Buffer.from(imported.export({ format: 'pem', type: 'spki' }).toString())],
    ['its JWK', Buffer.from(JSON.stringify(jwk))],
    ['nothing', Buffer.alloc(0)],
  ];
}

function hmacJws(claims: unknown, secret: Buffer, alg = 'HS256'): string {
  const input = `${part({ alg })}.${part(claims)}`;
  const digest = alg.replace('HS', 'sha');
  return `${input}.${createHmac(digest, secret).update(input).digest('base64url')}`;
}

describe('a proof signed with what everybody knows', () => {
  it.each(['ed25519', 'p256'] as const)('is refused, whatever the header says (%s)', async (kind) => {
    const { id, token } = await joinToken();
    const host = new Applicant(plane.url, undefined, kind);
    const honest = await host.body(token);
    const [, payload = ''] = String(honest.proof).split('.');
    const claims = JSON.parse(Buffer.from(payload, 'base64url').toString());
    for (const [, secret] of publicSecrets(host.publicKey))
      for (const alg of ['HS256', 'HS384', 'HS512'])
        expect(refusal(await send(plane.url, { ...honest, proof: hmacJws(claims, secret, alg) }))).toEqual([
          401,
          'proof_invalid',
        ]);
    for (const alg of ['none', 'None', 'NONE', 'nOnE', ''])
      for (const signature of ['', 'AA'])
        expect(
          refusal(await send(plane.url, { ...honest, proof: `${part({ alg })}.${payload}.${signature}` })),
        ).toEqual([401, 'proof_invalid']);
    expect(await leftBy(id)).toEqual([0, 0]);
  });

  it('gets no token and no answer about a request either', async () => {
    const node = await admittedNode(plane, clusterId);
    const now = Math.floor(Date.now() / 1000);
    const claims = (subject: string) => ({
      iss: subject,
      sub: subject,
      aud: plane.url,
      jti: randomUUID(),
      iat: now,
      exp: now + 60,
      cluster: clusterId,
    });
    for (const [, secret] of publicSecrets(node.publicKey as Record<string, unknown>)) {
      const assertion = hmacJws(claims(node.nodeId), secret);
      expect(refusal(await node.requestToken(assertion))).toEqual([401, 'invalid_client']);
      const bearer = hmacJws(claims(node.joinRequestId), secret);
      const answer = await api.as(bearer).get(`/node-agents/enroll/${node.joinRequestId}`);
      expect(refusal(answer)).toEqual([401, 'unauthenticated']);
    }
  });
});

describe('a proof that somebody has overheard', () => {
  it('makes no other request: not with another key, name, token or cluster', async () => {
    const one = await joinToken({ maxUses: 5 });
    const other = await joinToken({ maxUses: 5 });
    const host = new Applicant(plane.url);
    const heard = await host.body(one.token, { body: { clusterId } });
    const thief = new Applicant(plane.url);
    const changes: Record<string, unknown>[] = [
      { publicKey: thief.publicKey },
      { nodeName: thief.nodeName },
      { token: other.token },
      { capabilities: ['can_run_vpn_exit', 'can_run_file_cache'] },
      { requestedRoles: ['vpn-exit'] },
      { agentVersion: '9.9.9' },
      { facts: { os: 'linux', arch: 'x64', hostname: 'thief' } },
      { clusterId: randomUUID() },
      { extra: true },
      { facts: undefined, capabilities: undefined },
    ];
    for (const change of changes) {
      const { status, body } = await send(plane.url, { ...heard, ...change });
      expect([401, 422]).toContain(status);
      if (status === 401) expect(body.code).toBe('proof_invalid');
    }
    expect(await leftBy(one.id)).toEqual([0, 0]);
    expect(await leftBy(other.id)).toEqual([0, 0]);
  });

  it('sent again as it was makes no second request, and spends nothing more', async () => {
    const { id, token } = await joinToken({ maxUses: 5 });
    const heard = await new Applicant(plane.url).body(token);
    const answers = await Promise.all(Array.from({ length: 5 }, () => send(plane.url, heard)));
    expect(countByStatus(answers)).toEqual({ 202: 5 });
    expect(new Set(answers.map(({ body }) => body.joinRequestId)).size).toBe(1);
    expect(await leftBy(id)).toEqual([1, 1]);
  });

  it('without bodyHash makes at most the same request, never one for another key', async () => {
    const { id, token } = await joinToken({ maxUses: 5 });
    const heard = await new Applicant(plane.url).body(token, { claims: { bodyHash: undefined } });
    const thief = new Applicant(plane.url);
    expect(refusal(await send(plane.url, { ...heard, publicKey: thief.publicKey }))).toEqual([
      401,
      'proof_invalid',
    ]);
    expect(await leftBy(id)).toEqual([0, 0]);
  });
});

describe('a body that is made to hurt', () => {
  const post = (body: string, headers = '') =>
    rawHttp(
      plane.url,
      `POST /api/v1/node-agents/enroll HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n${headers}` +
        `Content-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`,
    );

  it.each<[string, string, number, string]>([
    ['nests deeper than the service reads', `${'['.repeat(100_000)}`, 400, 'json_too_deep'],
    ['has a member twice', '{"token":"a","token":"b"}', 400, 'duplicate_key'],
    ['reaches for the prototype', '{"__proto__":{"token":"x"}}', 400, 'forbidden_key'],
    ['has a number beyond all numbers', '{"facts":{"n":1e999}}', 400, 'invalid_number'],
    ['has half a character', '{"nodeName":"\\ud800"}', 400, 'invalid_string'],
    ['is no JSON', '{"token":', 400, 'malformed_json'],
    ['is a list', '[]', 422, 'invalid_request'],
    ['is nothing', 'null', 422, 'invalid_request'],
  ])('is refused where it %s', async (_, body, status, code) => {
    const answer = await post(body);
    expect([answer.status, JSON.parse(answer.body).code]).toEqual([status, code]);
  });

  it('is refused by what it claims to be long, before it is read', async () => {
    const answer = await rawHttp(
      plane.url,
      'POST /api/v1/node-agents/enroll HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n' +
        'Content-Length: 1048577\r\nConnection: close\r\n\r\n{}',
    );
    expect(answer.status).toBe(413);
  });

  it('is refused at the first byte too many where it does not say how long it is', async () => {
    const chunk = `10000\r\n${' '.repeat(0x10000)}\r\n`;
    const answer = await rawHttp(
      plane.url,
      'POST /api/v1/node-agents/enroll HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n' +
        `Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n${chunk.repeat(20)}0\r\n\r\n`,
    );
    expect(answer.status).toBe(413);
  });

  it('is bounded in each of its members', async () => {
    const { id, token } = await joinToken();
    const facts = { os: 'linux', arch: 'x64', hostname: 'h' };
    const long = 'x'.repeat(600);
    const members: [Record<string, unknown>, string][] = [
      [{ token: `${token}${long}` }, '#/token'],
      [{ nodeName: 'n'.repeat(64) }, '#/nodeName'],
      [{ agentVersion: 'v'.repeat(65) }, '#/agentVersion'],
      [{ facts: { ...facts, hostname: long } }, '#/facts/hostname'],
      [{ facts: { ...facts, machineId: long } }, '#/facts/machineId'],
      [{ facts: { ...facts, cpuCount: -1 } }, '#/facts/cpuCount'],
      [{ facts: { ...facts, memoryBytes: 2 ** 53 } }, '#/facts/memoryBytes'],
      [{ facts: { ...facts, [long]: 1 } }, '#/facts'],
      [{ capabilities: ['x'.repeat(64)] }, '#/capabilities/0'],
      [{ requestedRoles: Array.from({ length: 33 }, (_, index) => `role-${index}`) }, '#/requestedRoles'],
      [{ csr: `-----BEGIN CERTIFICATE REQUEST-----\n${'A'.repeat(9_000)}` }, '#/csr'],
      [{ proof: 'p'.repeat(8_193) }, '#/proof'],
      [{ clusterId: 'moscow-edge' }, '#/clusterId'],
    ];
    for (const [afterProof, pointer] of members) {
      const answer = await send(plane.url, await new Applicant(plane.url).body(token, { afterProof }));
      expect([answer.status, answer.body.errors?.[0]?.pointer]).toEqual([422, pointer]);
    }
    expect(await leftBy(id)).toEqual([0, 0]);
  });
});

describe('a key that is not what it says', () => {
  it.each<[string, Record<string, unknown>]>([
    ['an Ed25519 key of 31 bytes', { kty: 'OKP', crv: 'Ed25519', x: 'A'.repeat(42) }],
    ['an X25519 key', { kty: 'OKP', crv: 'X25519', x: 'A'.repeat(43) }],
    ['a P-256 key under the name of Ed25519', { kty: 'OKP', crv: 'P-256', x: 'A'.repeat(43) }],
    ['a secp256k1 key', { kty: 'EC', crv: 'secp256k1', x: 'A'.repeat(43), y: 'A'.repeat(43) }],
    ['the point at infinity', { kty: 'EC', crv: 'P-256', x: `${'A'.repeat(43)}`, y: `${'A'.repeat(43)}` }],
    ['another spelling of the same bytes', { kty: 'OKP', crv: 'Ed25519', x: `${'A'.repeat(42)}B` }],
    ['a key with its private part', { ...newKeyPair('ed25519').privateKey.export({ format: 'jwk' }) }],
  ])('%s is refused', async (_, publicKey) => {
    const { id, token } = await joinToken();
    const answer = await send(
      plane.url,
      await new Applicant(plane.url).body(token, { afterProof: { publicKey } }),
    );
    expect([answer.status, answer.body.errors[0].pointer]).toEqual([
      422,
      expect.stringMatching(/^#\/publicKey/),
    ]);
    expect(await leftBy(id)).toEqual([0, 0]);
  });

  it('an Ed25519 key of small order signs for everything, and is of no use', async () => {
    // The neutral element: under it (R = neutral, S = 0) is a signature of every message in a lenient library.
    const neutral = Buffer.alloc(32);
    neutral[0] = 1;
    const publicKey = { kty: 'OKP', crv: 'Ed25519', x: neutral.toString('base64url') };
    const { id, token } = await joinToken();
    const host = new Applicant(plane.url);
    const honest = await host.body(token, { body: { publicKey } });
    const [header, payload] = String(honest.proof).split('.');
    const signature = Buffer.concat([neutral, Buffer.alloc(32)]).toString('base64url');
    const answer = await send(plane.url, { ...honest, proof: `${header}.${payload}.${signature}` });
    expect(answer.status).not.toBe(202);
    expect(await leftBy(id)).toEqual([0, 0]);
  });
});

describe('a join token', () => {
  it('is no bearer of anything else, and what is one is no join token', async () => {
    const { token } = await joinToken();
    expect((await api.as(token).get('/me')).status).toBe(401);
    expect((await api.as(token).get('/node-agents/me/snapshot')).status).toBe(401);
    const apiToken = created(await api.post('/api-tokens', { name: 'x', role: 'auditor' })) as {
      token: string;
    };
    for (const wrong of [
      apiToken.token,
      plane.ownerToken,
      token.replace('fjt_', 'fab_'),
      `${token}0`,
      token.slice(0, -1),
    ])
      expect(refusal(await new Applicant(plane.url).enroll(wrong))).toEqual([401, 'join_token_invalid']);
  });

  it('that somebody spends in bulk leaves an incident for each attempt, with its source', async () => {
    const { id, token } = await joinToken();
    created(await api.post(`/clusters/${clusterId}/join-tokens/${id}/revoke`));
    const answers = await Promise.all(
      Array.from({ length: 6 }, () => new Applicant(plane.url).enroll(token)),
    );
    expect(countByStatus(answers)).toEqual({ 401: 6 });
    const events = (await api.get(`/audit/events?resourceId=${id}&action=join_token.refused`)).body.items;
    expect(events).toHaveLength(6);
    for (const event of events)
      expect(event).toMatchObject({
        outcome: 'denied',
        actor: { type: 'anonymous', ip: '127.0.0.1', userAgent: expect.any(String) },
        after: { refusal: 'revoked', nodeFingerprint: expect.stringMatching(/^[\w-]{43}$/) },
      });
    expect(JSON.stringify(events)).not.toContain(token.slice(-40));
  });
});
