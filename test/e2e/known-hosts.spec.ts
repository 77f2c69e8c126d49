import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { generateKeyPair } from 'jose';
import type { Answer, Api } from '../support/api.js';
import { countByStatus } from '../support/applicant.js';
import { type ControlPlane, startControlPlane } from '../support/control-plane.js';
import { created, given, unique } from '../support/given.js';
import { freshKey, rotationBody, signWith } from '../support/rotation.js';
import { alsoIn, applyAlsoTo } from '../support/second-membership.js';
import { admittedNode, type TestNode } from '../support/test-node.js';

let plane: ControlPlane;
let api: Api;
beforeAll(async () => {
  plane = await startControlPlane();
  api = plane.api;
});
afterAll(() => plane?.close());

const newCluster = async () => (await given(plane).cluster()).id;
const refusal = ({ status, body }: Answer) => [status, body.code];
const seconds = (ahead: number) => Math.floor(Date.now() / 1000) + ahead;

/** A member of one cluster that asks to join another one. */
async function asking() {
  const node = await admittedNode(plane);
  return { node, ...(await applyAlsoTo(plane, node, await newCluster())) };
}

async function tokenWith(input: Record<string, unknown>): Promise<Api> {
  const body = { name: unique('token'), expiresInSeconds: 3600, highRisk: true, ...input };
  return api.as((created(await api.post('/api-tokens', body)) as { token: string }).token);
}

const statusOf = async ({ clusterId, joinRequestId }: TestNode) =>
  (await api.get(`/clusters/${clusterId}/join-requests/${joinRequestId}`)).body.status;

const eventsOf = async ({ joinRequestId }: TestNode) =>
  (await api.get(`/audit/events?resourceId=${joinRequestId}`)).body.items as {
    action: string;
    highRisk: boolean;
    reason: string | null;
    after: Record<string, unknown>;
  }[];

const rowsOf = async (nodeId: string) => {
  const counted = (table: string, column: string) =>
    plane.database.query<{ count: number }>(
      `SELECT count(*)::int AS count FROM ${table} WHERE ${column} = $1`,
      [nodeId],
    );
  const [nodes, memberships, identities] = await Promise.all([
    counted('nodes', 'id'),
    counted('cluster_memberships', 'node_id'),
    counted('node_identities', 'node_id'),
  ]);
  return [nodes, memberships, identities].map((rows) => rows[0]?.count);
};

describe('a host that is a member already', () => {
  it('joins another cluster by a proof of its key: one node, two memberships, two identities', async () => {
    const { node, other, approve } = await asking();
    const answer = await approve();
    expect(answer).toMatchObject({ status: 200, body: { status: 'approved', approvedNodeId: node.nodeId } });
    expect(await rowsOf(node.nodeId)).toEqual([1, 2, 2]);
    const { memberships } = (await api.get(`/nodes/${node.nodeId}`)).body;
    expect(memberships).toMatchObject([
      { clusterId: other.clusterId, name: other.name, membershipStatus: 'active' },
      { clusterId: node.clusterId, name: node.name, membershipStatus: 'active' },
    ]);
    for (const each of [node, other])
      expect((await (await each.api()).post('/node-agents/me/heartbeat', each.heartbeat())).status).toBe(200);
    expect((await eventsOf(other))[0]).toMatchObject({
      action: 'join_request.approved',
      highRisk: true,
      after: {
        nodeId: node.nodeId,
        knownHost: {
          isSameMachine: true,
          provenBy: { clusterId: node.clusterId, keyThumbprint: expect.stringMatching(/^[\w-]{43}$/) },
        },
      },
    });
  });

  it('joins a third one by the key of any of its memberships, a disabled one included', async () => {
    const node = await admittedNode(plane);
    const second = await alsoIn(plane, node, await newCluster());
    created(await api.post(`/clusters/${second.clusterId}/nodes/${node.nodeId}/disable`));
    const { approve, proof } = await applyAlsoTo(plane, node, await newCluster());
    expect((await approve({ hostProof: await proof({}, second) })).status).toBe(200);
    expect(await rowsOf(node.nodeId)).toEqual([1, 3, 3]);
  });

  it('gets name, roles and group as any other, and nothing of its first membership', async () => {
    const { node, other, approve, proof } = await asking();
    created(
      await api.post(`/clusters/${node.clusterId}/role-assignments`, {
        nodeId: node.nodeId,
        role: 'relay-node',
      }),
    );
    created(await approve({ hostProof: await proof(), nodeName: 'edge-9', roles: ['vpn-exit'] }));
    const there = (await api.get(`/clusters/${other.clusterId}/nodes/${node.nodeId}`)).body;
    expect(there).toMatchObject({ name: 'edge-9', roles: ['vpn-exit'], health: 'unknown' });
    expect((await api.get(`/clusters/${node.clusterId}/nodes/${node.nodeId}`)).body.roles).toEqual([
      'relay-node',
    ]);
  });

  it('is planned without a trace, the proof unspent', async () => {
    const { node, other, proof } = await asking();
    const path = `/clusters/${other.clusterId}/join-requests/${other.joinRequestId}/approve`;
    const body = { existingNodeId: node.nodeId, hostProof: await proof() };
    const plan = await api.post(`${path}?dryRun=true`, body);
    expect(plan.body).toMatchObject({
      dryRun: true,
      affectedNodes: 1,
      result: { approvedNodeId: node.nodeId },
    });
    expect((await api.post(path, body)).status).toBe(200);
  });

  it('joins by an override, named, with a reason, and loud', async () => {
    const { node, other, approve } = await asking();
    const reason = 'Its disk died; I stood beside it.';
    expect((await approve({ override: { reason } })).status).toBe(200);
    expect(await rowsOf(node.nodeId)).toEqual([1, 2, 2]);
    const events = await eventsOf(other);
    const loud = events.find(({ action }) => action === 'join_request.host_proof_overridden');
    expect(loud).toMatchObject({
      highRisk: true,
      reason,
      after: { nodeId: node.nodeId, isSameMachine: true },
    });
    expect(events.find(({ action }) => action === 'join_request.approved')?.after.knownHost).toEqual({
      isMember: false,
      isSameMachine: true,
      provenBy: null,
    });
  });

  it('of another machine is told apart in the log', async () => {
    const node = await admittedNode(plane);
    const input = { facts: { machineId: 'another' } };
    const { other, approve } = await applyAlsoTo(plane, node, await newCluster(), input);
    created(await approve({ override: { reason: 'New board.' } }));
    const events = await eventsOf(other);
    expect(events.map(({ after }) => (after as { isSameMachine?: boolean }).isSameMachine)).toContain(false);
  });
});

describe('a proof of the host', () => {
  it.each<[string, (asked: Awaited<ReturnType<typeof asking>>) => Promise<string>]>([
    ['by a key that is nobody’s', async ({ proof }) => proof({}, { sign: (c) => strangerSigns(c) })],
    ['by another node', async ({ proof }) => proof({}, await admittedNode(plane))],
    ['by the very key that asks', async ({ proof, other }) => proof({}, other)],
    ['for another request', async ({ proof, node }) => proof({ joinRequestId: node.joinRequestId })],
    ['over another key', async ({ proof }) => proof({ keyThumbprint: 'A'.repeat(43) })],
    ['for another service', async ({ proof }) => proof({ aud: 'https://elsewhere.example' })],
    ['older than an hour', async ({ proof }) => proof({ iat: seconds(-3_610) })],
    ['from the future', async ({ proof }) => proof({ iat: seconds(120) })],
    ['without a time', async ({ proof }) => proof({ iat: undefined })],
    ['without an id', async ({ proof }) => proof({ jti: undefined })],
    ['that is no JWS', async () => 'x.y.z'],
    ['without a signature', async ({ proof }) => unsigned(await proof())],
  ])('%s is refused, and recorded', async (_, make) => {
    const asked = await asking();
    const answer = await asked.approve({ hostProof: await make(asked) });
    expect(refusal(answer)).toEqual([422, 'host_proof_invalid']);
    expect(answer.body).toMatchObject({
      serverTime: expect.any(String),
      errors: [{ pointer: '#/hostProof' }],
    });
    expect(await statusOf(asked.other)).toBe('pending');
    expect(await rowsOf(asked.node.nodeId)).toEqual([1, 1, 1]);
    const failed = await api.get(`/audit/events?requestId=${answer.body.requestId}`);
    expect(failed.body.items).toMatchObject([
      { action: 'operation.failed', highRisk: true, reason: 'host_proof_invalid' },
    ]);
  });

  it('names the audience that was expected, where that is what was wrong', async () => {
    const { approve, proof } = await asking();
    const answer = await approve({ hostProof: await proof({ aud: 'https://elsewhere.example' }) });
    expect(answer.body.expectedAudience).toBe(plane.url);
    expect((await approve({ hostProof: await proof({ jti: '' }) })).body).not.toHaveProperty(
      'expectedAudience',
    );
  });

  it('is accepted once: not for a second request of the same key either', async () => {
    const node = await admittedNode(plane);
    const clusterId = await newCluster();
    const { approve, proof } = await applyAlsoTo(plane, node, clusterId);
    const jti = unique('jti');
    expect((await approve({ hostProof: await proof({ jti }) })).status).toBe(200);
    const second = await applyAlsoTo(plane, node, await newCluster());
    expect(refusal(await second.approve({ hostProof: await second.proof({ jti }) }))).toEqual([
      422,
      'host_proof_invalid',
    ]);
  });

  it('is not spent by an approval that fails for another reason', async () => {
    const { approve, proof } = await asking();
    const hostProof = await proof();
    expect(refusal(await approve({ hostProof, roles: ['rdp-worker'] }))).toEqual([409, 'capability_missing']);
    expect((await approve({ hostProof })).status).toBe(200);
  });

  it('by a key that was replaced is refused; by the one that replaced it, taken', async () => {
    const { node, approve, proof } = await asking();
    const key = await freshKey();
    created(await (await node.api()).post('/node-agents/me/identity/rotate', await rotationBody(node, key)));
    expect(refusal(await approve({ hostProof: await proof() }))).toEqual([422, 'host_proof_invalid']);
    expect((await approve({ hostProof: await proof({}, { sign: (c) => signWith(key, c) }) })).status).toBe(
      200,
    );
  });

  it('by the key of a membership that was revoked is refused, while another one lives', async () => {
    const node = await admittedNode(plane);
    const second = await alsoIn(plane, node, await newCluster());
    created(await api.post(`/clusters/${node.clusterId}/nodes/${node.nodeId}/revoke`, { reason: 'Moved.' }));
    const { approve, proof } = await applyAlsoTo(plane, node, await newCluster());
    expect(refusal(await approve({ hostProof: await proof({}, node) }))).toEqual([422, 'host_proof_invalid']);
    expect((await approve({ hostProof: await proof({}, second) })).status).toBe(200);
  });
});

describe('a host', () => {
  it('that is a member of this cluster is refused, proof and override alike', async () => {
    const node = await admittedNode(plane);
    const { approve, proof } = await applyAlsoTo(plane, node, node.clusterId);
    expect(refusal(await approve({ hostProof: await proof() }))).toEqual([409, 'node_already_member']);
    const override = { override: { reason: 'Please.' } };
    expect(refusal(await approve(override))).toEqual([409, 'node_already_member']);
    created(await api.post(`/clusters/${node.clusterId}/nodes/${node.nodeId}/disable`));
    expect(refusal(await approve(override))).toEqual([409, 'node_already_member']);
  });

  it('whose membership of this cluster was revoked never comes back under its id, and joins as a new node', async () => {
    const node = await admittedNode(plane);
    await alsoIn(plane, node, await newCluster());
    created(await api.post(`/clusters/${node.clusterId}/nodes/${node.nodeId}/revoke`, { reason: 'Moved.' }));
    const { other, approve } = await applyAlsoTo(plane, node, node.clusterId);
    expect(refusal(await approve({ override: { reason: 'Please.' } }))).toEqual([409, 'membership_revoked']);
    const path = `/clusters/${node.clusterId}/join-requests/${other.joinRequestId}/approve`;
    const anew = await api.post(path);
    expect(anew.status).toBe(200);
    expect(anew.body.approvedNodeId).not.toBe(node.nodeId);
  });

  it('that was revoked everywhere is refused, whoever vouches for it', async () => {
    const { node, approve } = await asking();
    created(await api.post(`/nodes/${node.nodeId}/revoke`, { reason: 'Stolen.' }));
    expect(refusal(await approve({ override: { reason: 'It is back.' } }))).toEqual([409, 'node_revoked']);
  });

  it('that there is not is refused', async () => {
    const { approve } = await asking();
    const existingNodeId = '019ab0c4-7e11-7a52-8d3f-5a0d7f0f3c21';
    const answer = await approve({ existingNodeId, override: { reason: 'Please.' } });
    expect(refusal(answer)).toEqual([422, 'node_not_found']);
    expect(answer.body.errors[0].pointer).toBe('#/existingNodeId');
  });

  it('that asks with a key that it has elsewhere is refused: a key belongs to one membership', async () => {
    const node = await admittedNode(plane);
    const clusterId = await newCluster();
    const { token } = await given(plane).joinToken(clusterId);
    const { joinRequestId } = created(await node.enroll(token)) as { joinRequestId: string };
    const path = `/clusters/${clusterId}/join-requests/${joinRequestId}/approve`;
    const body = {
      existingNodeId: node.nodeId,
      override: { reason: 'The same key.' },
      nodeName: unique('n'),
    };
    expect(refusal(await api.post(path, body))).toEqual([409, 'key_already_enrolled']);
  });

  it('is admitted once to a cluster, however many of its requests are approved at once', async () => {
    const node = await admittedNode(plane);
    const clusterId = await newCluster();
    const requests = await Promise.all(Array.from({ length: 4 }, () => applyAlsoTo(plane, node, clusterId)));
    const answers = await Promise.all(requests.map(({ approve }) => approve()));
    expect(countByStatus(answers)).toEqual({ 200: 1, 409: 3 });
    for (const { status, body } of answers) if (status === 409) expect(body.code).toBe('node_already_member');
    expect(await rowsOf(node.nodeId)).toEqual([1, 2, 2]);
    const { items } = (await api.get(`/clusters/${clusterId}/join-requests?status=pending`)).body;
    expect(items).toHaveLength(3);
  });

  it('is admitted to many clusters at once, and revoked in all of them by one call', async () => {
    const node = await admittedNode(plane);
    const requests = [];
    for (let count = 0; count < 3; count += 1)
      requests.push(await applyAlsoTo(plane, node, await newCluster()));
    const answers = await Promise.all(requests.map(({ approve }) => approve()));
    expect(countByStatus(answers)).toEqual({ 200: 3 });
    expect(await rowsOf(node.nodeId)).toEqual([1, 4, 4]);
    created(await api.post(`/nodes/${node.nodeId}/revoke`, { reason: 'Stolen.' }));
    for (const each of [node, ...requests.map(({ other }) => other)])
      expect((await each.requestToken()).status).toBe(401);
  });
});

describe('who may do it', () => {
  it('holds the permission over the whole platform, and join_requests.approve beside it', async () => {
    const { node, other, proof } = await asking();
    const { clusterId } = other;
    const path = `/clusters/${clusterId}/join-requests/${other.joinRequestId}/approve`;
    const body = { existingNodeId: node.nodeId, hostProof: await proof() };
    const local = await tokenWith({ role: 'platform-admin', clusterId });
    expect(await local.post(path, body)).toMatchObject({
      status: 403,
      body: { code: 'forbidden', permission: 'nodes.join_existing' },
    });
    const operator = await tokenWith({ role: 'platform-operator' });
    expect((await operator.post(path, body)).body.permission).toBe('nodes.join_existing');
    const without = await tokenWith({ permissions: ['nodes.join_existing'] });
    expect((await without.post(path, body)).status).toBe(403);
    const refused = await api.post('/api-tokens', {
      name: 'x',
      permissions: ['nodes.join_existing'],
      clusterId,
    });
    expect(refused.status).toBe(422);
    const careless = await tokenWith({ role: 'platform-admin', highRisk: false });
    expect((await careless.post(path, body)).body.code).toBe('high_risk_credential_required');
    expect((await (await tokenWith({ role: 'platform-admin' })).post(path, body)).status).toBe(200);
  });

  it.each<[string, Record<string, unknown>, string]>([
    ['no reason to believe it', { hostProof: undefined }, '#/hostProof'],
    ['proof and override', { override: { reason: 'Both.' } }, '#/hostProof'],
    ['an override without a reason', { hostProof: undefined, override: {} }, '#/override/reason'],
    ['a proof without a node', { existingNodeId: undefined }, '#/existingNodeId'],
    ['a node that is no id', { existingNodeId: 'edge-1' }, '#/existingNodeId'],
    ['an unknown member of the override', { override: { reason: 'x', by: 'me' } }, '#/override'],
  ])('says what it means: %s is 422', async (_, change, pointer) => {
    const { node, other } = await asking();
    const path = `/clusters/${other.clusterId}/join-requests/${other.joinRequestId}/approve`;
    const answer = await api.post(path, { existingNodeId: node.nodeId, hostProof: 'a.b.c', ...change });
    expect(refusal(answer)).toEqual([422, 'invalid_request']);
    expect(answer.body.errors.map((fault: { pointer: string }) => fault.pointer).join()).toContain(pointer);
  });
});

async function strangerSigns(claims: Record<string, unknown>): Promise<string> {
  const { privateKey } = await generateKeyPair('EdDSA', { crv: 'Ed25519', extractable: true });
  return signWith({ privateKey, alg: 'EdDSA', publicJwk: {} }, claims);
}

function unsigned(jws: string): string {
  const header = Buffer.from(JSON.stringify({ alg: 'none' })).toString('base64url');
  return `${header}.${jws.split('.')[1]}.`;
}
