import { generateKeyPairSync } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { enrollmentProof, joinRequestBearer } from '../../agent/assertions.js';
import { describeHost } from '../../agent/host-description.js';
import { generateNodeKey } from '../../agent/keys.js';
import { newKeyPair } from '../../src/common/crypto/new-key-pair.js';
import type { Answer, Api } from '../support/api.js';
import { Applicant, countByStatus, type EnrollmentChanges, send } from '../support/applicant.js';
import { type ControlPlane, startControlPlane } from '../support/control-plane.js';
import { given } from '../support/given.js';
import { tableDigests } from '../support/table-digests.js';

let controlPlane: ControlPlane;
let api: Api;
let clusterId: string;
beforeAll(async () => {
  // Without workers, which would write in the middle of a look at all rows.
  controlPlane = await startControlPlane({ config: { role: 'api' } });
  api = controlPlane.api;
});
afterAll(() => controlPlane?.close());
beforeEach(async () => {
  clusterId = (await given(controlPlane).cluster()).id;
});

const applicant = (name?: string, kind?: 'ed25519' | 'p256') => new Applicant(controlPlane.url, name, kind);
const joinToken = (input: Record<string, unknown> = {}) => given(controlPlane).joinToken(clusterId, input);
const requestOf = async (answer: Answer) =>
  (await api.get(`/clusters/${clusterId}/join-requests/${answer.body.joinRequestId}`)).body;
const usedCount = async (id: string) =>
  (await api.get(`/clusters/${clusterId}/join-tokens/${id}`)).body.usedCount;

interface AuditRow {
  action: string;
  outcome: string;
  high_risk: boolean;
  actor_type: string;
  actor_id: string | null;
  actor_ip: string | null;
  after: Record<string, unknown> | null;
}

async function auditOf(...actions: string[]): Promise<AuditRow[]> {
  return controlPlane.database.query<AuditRow>(
    'SELECT * FROM audit_events WHERE cluster_id = $1 AND action = ANY($2) ORDER BY id',
    [clusterId, actions],
  );
}

async function auditCounts(): Promise<Record<string, number>> {
  const rows = await controlPlane.database.query<{ action: string; count: number }>(
    `SELECT action, count(*)::int AS count FROM audit_events WHERE cluster_id = $1 AND action ~ '^join_' GROUP BY action`,
    [clusterId],
  );
  return Object.fromEntries(rows.map(({ action, count }) => [action, count]));
}

const expireRequest = (id: string) =>
  controlPlane.database.query(
    'UPDATE node_join_requests SET expires_at = now() - make_interval(secs => 0.001) WHERE id = $1',
    [id],
  );

describe('enrolling', () => {
  it.each(['ed25519', 'p256'] as const)('makes a request for review with an %s key', async (kind) => {
    const { id, token } = await joinToken();
    const host = applicant(undefined, kind);
    const answer = await host.enroll(token, {
      body: { requestedRoles: ['vpn-exit'], capabilities: ['can_run_vpn_exit', 'can_run_vpn_exit'] },
    });
    expect(answer.status).toBe(202);
    expect(answer.body).toEqual({
      joinRequestId: expect.any(String),
      clusterId,
      status: 'pending',
      pollAfterSeconds: expect.any(Number),
    });
    expect(await requestOf(answer)).toMatchObject({
      clusterId,
      tokenId: id,
      nodeName: host.nodeName,
      publicKey: host.publicKey,
      nodeFingerprint: expect.stringMatching(/^[\w-]{43}$/),
      reportedCapabilities: ['can_run_vpn_exit'],
      reportedFacts: { os: 'linux', arch: 'x64', hostname: host.nodeName },
      requestedRoles: ['vpn-exit'],
      status: 'pending',
      warnings: [],
      reviewedBy: null,
      approvedNodeId: null,
    });
    expect(await auditOf('join_request.received')).toMatchObject([
      { actor_type: 'anonymous', actor_ip: '127.0.0.1', outcome: 'success' },
    ]);
  });

  it('takes what the reference agent sends', async () => {
    const { token } = await joinToken();
    const key = await generateNodeKey();
    const host = await describeHost({
      nodeName: 'edge-1',
      requestedRoles: [],
      discover: true,
      capabilities: [],
      facts: {},
    });
    const body = {
      token,
      nodeName: 'edge-1',
      publicKey: key.publicJwk,
      ...host,
      requestedRoles: [],
      agentVersion: '0.1.0',
    };
    const audience = controlPlane.url.replace('127.0.0.1', 'localhost');
    const proof = await enrollmentProof(key, { audience, token, body, now: new Date() });
    const answer = await send(controlPlane.url, { ...body, proof });
    expect(answer.status).toBe(202);
    expect((await requestOf(answer)).nodeFingerprint).toBe(key.thumbprint);
    const { joinRequestId } = answer.body;
    const bearer = await joinRequestBearer(key, { joinRequestId, audience, now: new Date() });
    expect((await api.as(bearer).get(`/node-agents/enroll/${joinRequestId}`)).body.status).toBe('pending');
  });

  it('takes members that it does not know, and covers them by bodyHash', async () => {
    const { token } = await joinToken();
    const answer = await applicant().enroll(token, { body: { somethingNew: { deep: [1, 2] } } });
    expect(answer.status).toBe(202);
  });

  it('takes a proof without bodyHash', async () => {
    const { token } = await joinToken();
    expect((await applicant().enroll(token, { claims: { bodyHash: undefined } })).status).toBe(202);
  });

  it('takes every loopback name as audience', async () => {
    const { token } = await joinToken();
    const aud = controlPlane.url.replace('127.0.0.1', 'localhost');
    expect((await applicant().enroll(token, { claims: { aud } })).status).toBe(202);
  });

  it('warns the reviewer of a clock that is more than a minute off', async () => {
    const { token } = await joinToken();
    const answer = await applicant().enroll(token, { claims: { iat: Math.floor(Date.now() / 1000) - 300 } });
    expect(answer.status).toBe(202);
    expect((await requestOf(answer)).warnings).toEqual([expect.objectContaining({ code: 'clock_skew' })]);
  });
});

describe('a body that is no enrollment', () => {
  const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 }).publicKey.export({ format: 'jwk' });
  const p384 = generateKeyPairSync('ec', { namedCurve: 'P-384' }).publicKey.export({ format: 'jwk' });
  const ed448 = generateKeyPairSync('ed448').publicKey.export({ format: 'jwk' });
  const withPrivate = newKeyPair('ed25519').privateKey.export({ format: 'jwk' });
  const facts = { os: 'linux', arch: 'x64', hostname: 'h' };
  const many = Object.fromEntries(Array.from({ length: 33 }, (_, index) => [`fact${index}`, index]));

  it.each<[string, Record<string, unknown>, string]>([
    ['an RSA key', { publicKey: rsa }, '#/publicKey'],
    ['a key on another curve', { publicKey: p384 }, '#/publicKey'],
    ['an Ed448 key', { publicKey: ed448 }, '#/publicKey'],
    ['a symmetric key', { publicKey: { kty: 'oct', k: 'AAAA' } }, '#/publicKey'],
    ['a private key', { publicKey: withPrivate }, '#/publicKey/d'],
    [
      'a point that is not on the curve',
      { publicKey: { kty: 'EC', crv: 'P-256', x: 'A'.repeat(43), y: 'A'.repeat(43) } },
      '#/publicKey',
    ],
    ['an unknown system', { facts: { ...facts, os: 'plan9' } }, '#/facts/os'],
    ['a fact that is no scalar', { facts: { ...facts, disks: ['sda'] } }, '#/facts/disks'],
    ['too many facts', { facts: { ...facts, ...many } }, '#/facts'],
    ['a fact that is too long', { facts: { ...facts, note: 'x'.repeat(513) } }, '#/facts/note'],
    ['a capability of the wrong form', { capabilities: ['Can Fly'] }, '#/capabilities/0'],
    [
      'too many capabilities',
      { capabilities: Array.from({ length: 129 }, (_, index) => `can_${index}x`) },
      '#/capabilities',
    ],
    ['a name of the wrong form', { nodeName: 'edge 1' }, '#/nodeName'],
    ['a csr that is none', { csr: 'hello' }, '#/csr'],
    ['no proof', { proof: undefined }, '#/proof'],
  ])('is refused for %s', async (_, afterProof, pointer) => {
    const { token } = await joinToken();
    const answer = await send(controlPlane.url, await applicant().body(token, { afterProof }));
    expect(answer.status).toBe(422);
    expect(answer.body.errors.map((fault: { pointer: string }) => fault.pointer).join()).toContain(pointer);
    expect(await auditCounts()).toEqual({ 'join_token.created': 1 });
  });

  it('is refused before it is read when it is too large', async () => {
    const { token } = await joinToken();
    const body = await applicant().body(token, { afterProof: { padding: 'x'.repeat(1_100_000) } });
    expect((await send(controlPlane.url, body)).status).toBe(413);
  });
});

describe('a proof that does not hold', () => {
  const stranger = newKeyPair('ed25519');

  it.each<[string, EnrollmentChanges]>([
    ['by another key', { signer: stranger.privateKey }],
    [
      'by a key of its own header',
      {
        signer: stranger.privateKey,
        header: { alg: 'EdDSA', jwk: stranger.publicKey.export({ format: 'jwk' }) },
      },
    ],
    ['for another audience', { claims: { aud: 'https://elsewhere.example' } }],
    ['for another token', { claims: { tokenHash: 'x' } }],
    ['for another body', { afterProof: { nodeName: 'other' } }],
    ['with a token put in its place', { afterProof: { token: 'fjt_other' } }],
    // Not by much more than is allowed: it comes nearer until the test is run.
    ['from twenty minutes ahead', { claims: { iat: Math.floor(Date.now() / 1000) + 1_200 } }],
    ['from ten minutes ago', { claims: { iat: Math.floor(Date.now() / 1000) - 660 } }],
    ['that is no JWS', { afterProof: { proof: 'proof' } }],
  ])('is refused: %s', async (_, changes) => {
    const { id, token } = await joinToken();
    const answer = await applicant().enroll(token, changes);
    expect(answer).toMatchObject({
      status: 401,
      body: { code: 'proof_invalid', serverTime: expect.stringMatching(/^\d{4}-.*Z$/) },
    });
    expect(answer.headers.get('www-authenticate')).toContain('Bearer');
    expect(await usedCount(id)).toBe(0);
    expect(await auditCounts()).toEqual({ 'join_token.created': 1 });
  });

  it('names the audience that was expected, when that is what was wrong', async () => {
    const { token } = await joinToken();
    const wrong = await applicant().enroll(token, { claims: { aud: 'https://elsewhere.example' } });
    expect(wrong.body.expectedAudience).toBe(controlPlane.url);
    const other = await applicant().enroll(token, { claims: { tokenHash: 'x' } });
    expect(other.body).not.toHaveProperty('expectedAudience');
  });

  it('is refused without a signature, whatever the header calls it', async () => {
    const { token } = await joinToken();
    const body = await applicant().body(token);
    const [, payload] = String(body.proof).split('.');
    for (const alg of ['none', 'None', 'HS256']) {
      const header = Buffer.from(JSON.stringify({ alg })).toString('base64url');
      const answer = await send(controlPlane.url, { ...body, proof: `${header}.${payload}.` });
      expect(answer).toMatchObject({ status: 401, body: { code: 'proof_invalid' } });
    }
  });

  it('leaves no row in any table, nor does a body that is no enrollment', async () => {
    const { token } = await joinToken();
    const before = await tableDigests(controlPlane);
    const answers = [
      await applicant().enroll(token, { signer: stranger.privateKey }),
      await applicant().enroll(token, { claims: { aud: 'https://elsewhere.example' } }),
      await applicant().enroll(token, { afterProof: { nodeName: 'other' } }),
      await send(controlPlane.url, { token }),
    ];
    expect(answers.map(({ status }) => status)).toEqual([401, 401, 401, 422]);
    expect(await tableDigests(controlPlane)).toEqual(before);
  });

  it('comes before the token: nobody learns of a token without a key', async () => {
    const answer = await applicant().enroll('fjt_nonsense', { signer: stranger.privateKey });
    expect(answer.body.code).toBe('proof_invalid');
  });
});

describe('a join token that is not good', () => {
  it('is refused alike whatever is wrong, and the reason stands in the audit log', async () => {
    const expired = await joinToken();
    await controlPlane.database.query(
      `UPDATE node_join_tokens SET created_at = now() - interval '1 hour', expires_at = now() - make_interval(secs => 0.001) WHERE id = $1`,
      [expired.id],
    );
    const spent = await joinToken();
    expect((await applicant().enroll(spent.token)).status).toBe(202);
    const revoked = await joinToken();
    await api.post(`/clusters/${clusterId}/join-tokens/${revoked.id}/revoke`);
    const narrow = await joinToken({ scope: { nodeNamePattern: 'edge-*', roles: ['vpn-exit'] } });
    const answers = [
      await applicant().enroll(expired.token),
      await applicant().enroll(spent.token),
      await applicant().enroll(revoked.token),
      await applicant('core-1').enroll(narrow.token),
      await applicant('edge-1').enroll(narrow.token, { body: { requestedRoles: ['relay-node'] } }),
      await applicant().enroll('fjt_nonsense'),
      await applicant().enroll(`${spent.token.slice(0, -1)}${spent.token.endsWith('a') ? 'b' : 'a'}`),
    ];
    const bodies = answers.map(({ status, body: { requestId: _, ...body } }) => ({ status, body }));
    for (const each of bodies) expect(each).toEqual(bodies[0]);
    expect(bodies[0]).toMatchObject({ status: 401, body: { code: 'join_token_invalid' } });
    const refusals = await auditOf('join_token.refused');
    expect(refusals.map(({ after }) => after?.refusal)).toEqual([
      'expired',
      'exhausted',
      'revoked',
      'outside_scope',
      'outside_scope',
    ]);
    expect(refusals[0]).toMatchObject({ outcome: 'denied', actor_type: 'anonymous', actor_ip: '127.0.0.1' });
    expect(await usedCount(narrow.id)).toBe(0);
  });

  it('of another cluster than the host means to join is refused, and an incident', async () => {
    const { id, token } = await joinToken();
    const elsewhere = (await given(controlPlane).cluster()).id;
    const refused = await applicant().enroll(token, { body: { clusterId: elsewhere } });
    expect(refused).toMatchObject({ status: 401, body: { code: 'join_token_invalid' } });
    expect(await auditOf('join_token.refused')).toMatchObject([
      { outcome: 'denied', actor_ip: '127.0.0.1', after: { refusal: 'foreign_cluster' } },
    ]);
    expect(await usedCount(id)).toBe(0);
    const host = applicant();
    expect((await host.enroll(token, { body: { clusterId: clusterId.toUpperCase() } })).status).toBe(202);
    expect((await host.enroll(token, { body: { clusterId: elsewhere } })).status).toBe(401);
  });

  it('is refused in an archived cluster', async () => {
    const { token } = await joinToken();
    expect((await api.delete(`/clusters/${clusterId}`)).status).toBe(204);
    expect((await applicant().enroll(token)).body.code).toBe('join_token_invalid');
    expect((await auditOf('join_token.refused'))[0]?.after?.refusal).toBe('cluster_archived');
  });

  it('slows guessing by address, and lets those with a token go on', async () => {
    const limited = await startControlPlane({
      beside: controlPlane,
      config: { limits: { ...controlPlane.runtime.config.limits, unknownCredentialsPerMinute: 3 } },
    });
    try {
      const guess = () => new Applicant(limited.url).enroll('fjt_guess');
      const answers = [await guess(), await guess(), await guess(), await guess()];
      expect(answers.map(({ status }) => status)).toEqual([401, 401, 401, 429]);
      expect(Number(answers[3]?.headers.get('retry-after'))).toBeGreaterThan(0);
      const { token } = await joinToken();
      expect((await new Applicant(limited.url).enroll(token)).status).toBe(202);
    } finally {
      await limited.close();
    }
  });
});

describe('uses of a token', () => {
  it('admits exactly as many of twenty-four racing nodes as it has uses', async () => {
    const { id, token } = await joinToken({ maxUses: 10 });
    const hosts = Array.from({ length: 24 }, () => applicant());
    const answers = await Promise.all(hosts.map((host) => host.enroll(token)));
    expect(countByStatus(answers)).toEqual({ 202: 10, 401: 14 });
    expect(await usedCount(id)).toBe(10);
    expect(await auditCounts()).toEqual({
      'join_token.created': 1,
      'join_request.received': 10,
      'join_token.refused': 14,
    });
  });

  it('lets one of ten racing nodes in with a single-use token, and that one again', async () => {
    const { token } = await joinToken();
    const hosts = Array.from({ length: 10 }, () => applicant());
    const answers = await Promise.all(hosts.map((host) => host.enroll(token)));
    expect(countByStatus(answers)).toEqual({ 202: 1, 401: 9 });
    const index = answers.findIndex(({ status }) => status === 202);
    const again = await hosts[index]?.enroll(token);
    expect(again).toMatchObject({ status: 202, body: answers[index]?.body });
  });

  it('counts one key once, however often and however parallel it asks', async () => {
    const { id, token } = await joinToken({ maxUses: 5 });
    const host = applicant();
    const answers = await Promise.all(Array.from({ length: 12 }, () => host.enroll(token)));
    expect(countByStatus(answers)).toEqual({ 202: 12 });
    expect(new Set(answers.map(({ body }) => body.joinRequestId)).size).toBe(1);
    expect(await usedCount(id)).toBe(1);
    expect(await auditCounts()).toEqual({ 'join_token.created': 1, 'join_request.received': 1 });
  });

  it('answers a repeat after the token is over: a lost answer strands nobody', async () => {
    const { id, token } = await joinToken();
    const host = applicant();
    const first = await host.enroll(token);
    await api.post(`/clusters/${clusterId}/join-tokens/${id}/revoke`);
    expect(await host.enroll(token)).toMatchObject({ status: 202, body: first.body });
    await api.post(`/clusters/${clusterId}/join-requests/${first.body.joinRequestId}/approve`);
    expect(await host.enroll(token)).toMatchObject({
      status: 202,
      body: { ...first.body, status: 'approved' },
    });
  });

  it('are given back when the request is rejected, cancelled or expires, worker or not', async () => {
    const { id, token } = await joinToken();
    const rejected = await applicant().enroll(token);
    await api.post(`/clusters/${clusterId}/join-requests/${rejected.body.joinRequestId}/reject`, {
      reason: 'No.',
    });
    expect(await usedCount(id)).toBe(0);
    const host = applicant();
    const cancelled = await host.enroll(token);
    expect((await host.cancel(cancelled.body.joinRequestId)).status).toBe(204);
    expect(await usedCount(id)).toBe(0);
    const expired = await applicant().enroll(token);
    await expireRequest(expired.body.joinRequestId);
    expect(await usedCount(id)).toBe(0);
    expect((await applicant().enroll(token)).status).toBe(202);
    expect(await usedCount(id)).toBe(1);
  });

  it('stay spent when the node is admitted', async () => {
    const { id, token } = await joinToken();
    const answer = await applicant().enroll(token);
    await api.post(`/clusters/${clusterId}/join-requests/${answer.body.joinRequestId}/approve`);
    await expireRequest(answer.body.joinRequestId);
    expect(await usedCount(id)).toBe(1);
    expect((await applicant().enroll(token)).status).toBe(401);
  });
});

describe('a repeat', () => {
  it('replaces what the node says of itself, never its name, and changes the digest', async () => {
    const { token } = await joinToken();
    const host = applicant();
    const before = await requestOf(await host.enroll(token));
    const body = {
      nodeName: 'renamed',
      capabilities: ['can_route_mesh'],
      requestedRoles: ['relay-node'],
      agentVersion: '0.2.0',
    };
    const after = await requestOf(await host.enroll(token, { body }));
    expect(after).toMatchObject({
      id: before.id,
      nodeName: host.nodeName,
      reportedCapabilities: ['can_route_mesh'],
      requestedRoles: ['relay-node'],
      agentVersion: '0.2.0',
      expiresAt: before.expiresAt,
    });
    expect(after.requestDigest).not.toBe(before.requestDigest);
    const events = await auditOf('join_request.updated');
    expect(events).toMatchObject([
      { after: { changed: ['reportedCapabilities', 'requestedRoles', 'agentVersion'] } },
    ]);
  });

  it('that says the same writes nothing', async () => {
    const { token } = await joinToken();
    const host = applicant();
    const before = await requestOf(await host.enroll(token));
    expect(await requestOf(await host.enroll(token))).toEqual(before);
    expect(await auditCounts()).toEqual({ 'join_token.created': 1, 'join_request.received': 1 });
  });

  it('that asks for roles outside the scope is refused', async () => {
    const { token } = await joinToken({ scope: { roles: ['vpn-exit'] } });
    const host = applicant();
    const before = await requestOf(await host.enroll(token));
    expect((await host.enroll(token, { body: { requestedRoles: ['relay-node'] } })).status).toBe(401);
    expect((await requestOf({ body: { joinRequestId: before.id } } as Answer)).requestedRoles).toEqual([]);
  });

  it('after the decision changes nothing', async () => {
    const { token } = await joinToken();
    const host = applicant();
    const answer = await host.enroll(token);
    await api.post(`/clusters/${clusterId}/join-requests/${answer.body.joinRequestId}/reject`, {
      reason: 'No.',
    });
    const again = await host.enroll(token, { body: { agentVersion: '9.9.9' } });
    expect(again).toMatchObject({ status: 202, body: { status: 'rejected' } });
    expect((await requestOf(again)).agentVersion).toBe('0.1.0');
  });
});
