import { createHash } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { compactVerify, createLocalJWKSet, createRemoteJWKSet, decodeJwt, errors, jwtVerify } from 'jose';
import type { Answer, Api } from '../support/api.js';
import { type ControlPlane, startControlPlane } from '../support/control-plane.js';
import { created, given, unique } from '../support/given.js';
import { OpenSsl } from '../support/openssl.js';
import { freshKey, rotationBody } from '../support/rotation.js';
import { alsoIn } from '../support/second-membership.js';
import { admittedNode, type TestNode } from '../support/test-node.js';

/** One host in two clusters: whatever it holds in the one must be worth nothing in the other. */

let plane: ControlPlane;
let api: Api;
let openssl: OpenSsl;
beforeAll(async () => {
  plane = await startControlPlane();
  api = plane.api;
  openssl = await OpenSsl.open();
  await anotherHost();
});
afterAll(async () => {
  await plane?.close();
  await openssl?.close();
});

/** The host in the one cluster and in the other. */
let a: TestNode;
let b: TestNode;
let [asA, asB]: Api[] = [];
async function anotherHost(): Promise<void> {
  a = await admittedNode(plane);
  b = await alsoIn(plane, a, (await given(plane).cluster()).id);
  expect(b.nodeId).toBe(a.nodeId);
  [asA, asB] = [await a.api(), await b.api()];
}
const agents = (): [Api, Api] => [asA as Api, asB as Api];

const refusal = ({ status, body }: Answer) => [status, body.code ?? body.error];
const memberOf = async ({ clusterId, nodeId }: TestNode) =>
  (await api.get(`/clusters/${clusterId}/nodes/${nodeId}`)).body;
const trustOf = async ({ clusterId }: TestNode, what: string) =>
  (await api.as(null).get(`/clusters/${clusterId}/trust/${what}`)).body;
const crlOf = async ({ clusterId }: TestNode) =>
  new Uint8Array(await (await fetch(`${plane.url}/api/v1/clusters/${clusterId}/trust/crl`)).arrayBuffer());
const beat = (agent: Api, node: TestNode, more: Record<string, unknown> = {}) =>
  agent.post('/node-agents/me/heartbeat', node.heartbeat(more));

describe('a token', () => {
  it('is for one cluster by its audience, and whoever checks it for the other refuses it', async () => {
    const { access_token } = created(await a.requestToken()) as { access_token: string };
    const keys = createRemoteJWKSet(new URL(`${plane.url}/.well-known/jwks.json`));
    const audience = (node: TestNode) => `urn:fabric:cluster:${node.clusterId}`;
    expect(decodeJwt(access_token)).toMatchObject({ aud: audience(a), cluster: a.clusterId, sub: a.nodeId });
    await expect(jwtVerify(access_token, keys, { audience: audience(a) })).resolves.toBeDefined();
    await expect(jwtVerify(access_token, keys, { audience: audience(b) })).rejects.toThrow(
      errors.JWTClaimValidationFailed,
    );
  });

  it('made over to the other cluster is refused', async () => {
    const { access_token } = created(await a.requestToken()) as { access_token: string };
    const [header, payload = '', signature] = access_token.split('.');
    const claims = JSON.parse(Buffer.from(payload, 'base64url').toString());
    const forged = { ...claims, cluster: b.clusterId, aud: `urn:fabric:cluster:${b.clusterId}` };
    const forgery = [header, Buffer.from(JSON.stringify(forged)).toString('base64url'), signature].join('.');
    expect((await beat(api.as(forgery), b)).status).toBe(401);
  });

  it('is had for no other cluster than that of the key', async () => {
    for (const [signer, other] of [
      [a, b],
      [b, a],
    ] as const) {
      const assertion = await signer.assertion(signer.nodeId, { cluster: other.clusterId });
      expect(refusal(await signer.requestToken(assertion))).toEqual([401, 'invalid_client']);
    }
  });

  it('opens nothing by the path of either cluster', async () => {
    for (const { clusterId, nodeId } of [a, b])
      for (const path of [
        `/clusters/${clusterId}`,
        `/clusters/${clusterId}/nodes/${nodeId}`,
        `/nodes/${nodeId}`,
      ])
        for (const agent of agents()) expect((await agent.get(path)).status).toBe(403);
  });

  it('ids of assertions of the one are free in the other', async () => {
    const jti = unique('jti');
    for (const node of [a, b]) {
      const assertion = () => node.assertion(node.nodeId, { cluster: node.clusterId, jti });
      expect((await node.requestToken(await assertion())).status).toBe(200);
      expect((await node.requestToken(await assertion())).status).toBe(401);
    }
  });
});

describe('what the host says in one cluster', () => {
  beforeEach(anotherHost);

  it('a heartbeat says nothing in the other', async () => {
    const [agent] = agents();
    created(await beat(agent, a, { agentVersion: '7.0.0', appliedGeneration: 1 }));
    expect(await memberOf(a)).toMatchObject({
      health: 'online',
      agentVersion: '7.0.0',
      appliedGeneration: 1,
    });
    expect(await memberOf(b)).toMatchObject({
      health: 'unknown',
      agentVersion: '0.1.0',
      lastSeenAt: null,
      appliedGeneration: null,
    });
  });

  it('capabilities and facts count for nothing in the other', async () => {
    const [agent] = agents();
    const before = await memberOf(b);
    const facts = { os: 'linux', arch: 'x64', hostname: 'elsewhere' };
    created(await agent.put('/node-agents/me/capabilities', { capabilities: ['can_run_file_cache'], facts }));
    expect((await memberOf(a)).capabilities).toEqual(['can_run_file_cache']);
    expect(await memberOf(b)).toEqual(before);
  });

  it('an idempotency key of the one is free in the other', async () => {
    const [agentA, agentB] = agents();
    const headers = { 'idempotency-key': unique('key') };
    const body = { agentVersion: '0.1.0', sequence: 1 };
    const first = await agentA.post('/node-agents/me/heartbeat', body, headers);
    const second = await agentB.post('/node-agents/me/heartbeat', body, headers);
    expect([first.status, second.status]).toEqual([200, 200]);
    expect(second.headers.get('idempotency-replayed')).toBeNull();
    expect((await memberOf(b)).health).toBe('online');
  });

  it('the history of the one does not tell of the other', async () => {
    const [agent] = agents();
    created(await beat(agent, a));
    created(await api.patch(`/clusters/${a.clusterId}/nodes/${a.nodeId}`, { labels: { site: 'msk' } }));
    const timeline = (await api.get(`/clusters/${b.clusterId}/nodes/${b.nodeId}/timeline`)).body.items;
    expect(timeline.map(({ action }: { action: string }) => action)).not.toContain('node.updated');
    const identity = (await api.get(`/clusters/${b.clusterId}/nodes/${b.nodeId}/identity`)).body;
    expect(identity.keys).toHaveLength(1);
  });
});

describe('a snapshot', () => {
  it('of one cluster is signed by no key of the other, and names its own', async () => {
    const [agentA, agentB] = agents();
    for (const [agent, own, other] of [
      [agentA, a, b],
      [agentB, b, a],
    ] as const) {
      const { jws } = created(await agent.get('/node-agents/me/snapshot')) as { jws: string };
      const { payload } = await compactVerify(jws, createLocalJWKSet(await trustOf(own, 'jwks')));
      expect(JSON.parse(new TextDecoder().decode(payload))).toMatchObject({
        clusterId: own.clusterId,
        nodeId: own.nodeId,
      });
      await expect(compactVerify(jws, createLocalJWKSet(await trustOf(other, 'jwks')))).rejects.toThrow(
        errors.JOSEError,
      );
    }
  });

  it('of one cluster does not change with roles of the other', async () => {
    const before = await memberOf(b);
    created(
      await api.post(`/clusters/${a.clusterId}/role-assignments`, { nodeId: a.nodeId, role: 'relay-node' }),
    );
    expect((await memberOf(a)).snapshotGeneration).toBeGreaterThan(before.snapshotGeneration);
    expect(await memberOf(b)).toEqual(before);
  });
});

describe('a certificate', () => {
  const certificate = async (agent: Api) =>
    created(await agent.post('/node-agents/me/certificates', { csr: await openssl.csr() })) as {
      certificate: string;
    };

  it('of one cluster does not verify under the bundle of the other, by openssl', async () => {
    const [agentA, agentB] = agents();
    const [ofA, ofB] = [await certificate(agentA), await certificate(agentB)];
    const [bundleA, bundleB] = [await trustOf(a, 'bundle'), await trustOf(b, 'bundle')];
    expect(await openssl.verify(ofA.certificate, bundleA)).toMatchObject({ ok: true });
    expect(await openssl.verify(ofB.certificate, bundleB)).toMatchObject({ ok: true });
    expect(await openssl.verify(ofA.certificate, bundleB)).toMatchObject({ ok: false });
    expect(await openssl.verify(ofB.certificate, bundleA)).toMatchObject({ ok: false });
  });

  it('is not had with the assertion of the other key, nor over a key of the other membership', async () => {
    const [agentA, agentB] = agents();
    const csr = await openssl.csr();
    const csrHash = createHash('sha256').update(csr).digest('base64url');
    const assertion = await a.assertion(a.nodeId, { cluster: b.clusterId, csrHash });
    const path = '/node-agents/me/certificates';
    expect(refusal(await agentB.post(path, { csr, assertion }))).toEqual([401, 'proof_invalid']);
    created(await agentA.post(path, { csr }));
    expect(refusal(await agentB.post(path, { csr }))).toEqual([422, 'csr_invalid']);
  });
});

describe('the end of one membership', () => {
  beforeEach(anotherHost);

  it('leaves the other alive: tokens, heartbeats, snapshot, certificate', async () => {
    const [agentA, agentB] = agents();
    const ask = async (agent: Api) =>
      agent.post('/node-agents/me/certificates', { csr: await openssl.csr() });
    const before = created(await ask(agentA)) as { certificate: string };
    const kept = created(await ask(agentB)) as { certificate: string };
    created(await api.post(`/clusters/${a.clusterId}/nodes/${a.nodeId}/revoke`, { reason: 'Moved.' }));

    expect((await beat(agentA, a)).status).toBe(401);
    expect((await agentA.get('/node-agents/me/snapshot')).status).toBe(401);
    expect((await ask(agentA)).status).toBe(401);
    expect((await a.requestToken()).status).toBe(401);
    expect(
      await openssl.verifyWithCrl(before.certificate, await trustOf(a, 'bundle'), await crlOf(a)),
    ).toMatchObject({
      ok: false,
    });

    expect((await beat(agentB, b)).body.revocationEpoch).toBe(0);
    expect((await agentB.get('/node-agents/me/snapshot')).status).toBe(200);
    expect((await ask(agentB)).status).toBe(201);
    expect((await b.requestToken()).status).toBe(200);
    expect(
      await openssl.verifyWithCrl(kept.certificate, await trustOf(b, 'bundle'), await crlOf(b)),
    ).toMatchObject({
      ok: true,
    });
    const { memberships } = (await api.get(`/nodes/${a.nodeId}`)).body;
    expect(memberships.map((each: { membershipStatus: string }) => each.membershipStatus)).toEqual([
      'active',
      'revoked',
    ]);
  });

  it('that is only disabled takes work in that cluster alone', async () => {
    for (const { clusterId, nodeId } of [a, b])
      created(await api.post(`/clusters/${clusterId}/role-assignments`, { nodeId, role: 'relay-node' }));
    created(await api.post(`/clusters/${a.clusterId}/nodes/${a.nodeId}/disable`));
    const rolesOf = async ({ clusterId, nodeId }: TestNode) =>
      (await api.get(`/clusters/${clusterId}/nodes/${nodeId}/snapshot`)).body.roles.length;
    expect([await rolesOf(a), await rolesOf(b)]).toEqual([0, 1]);
  });

  it('or a change of its key changes nothing of the other', async () => {
    const [agent] = agents();
    const key = await freshKey();
    created(await agent.post('/node-agents/me/identity/rotate', await rotationBody(a, key)));
    expect((await b.requestToken()).status).toBe(200);
    const moved = await a.withKey(key).assertion(a.nodeId, { cluster: b.clusterId });
    expect(refusal(await a.requestToken(moved))).toEqual([401, 'invalid_client']);
    const taken = await rotationBody(b, key);
    expect(refusal(await (await b.api()).post('/node-agents/me/identity/rotate', taken))).toEqual([
      409,
      'key_already_enrolled',
    ]);
  });

  it('is not asked after by the key of the other', async () => {
    const bearer = await b.assertion(a.joinRequestId);
    expect((await api.as(bearer).get(`/node-agents/enroll/${a.joinRequestId}`)).status).toBe(401);
    const own = await a.assertion(a.joinRequestId);
    expect((await api.as(own).get(`/node-agents/enroll/${a.joinRequestId}`)).body.clusterId).toBe(
      a.clusterId,
    );
  });
});
