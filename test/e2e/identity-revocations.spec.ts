import { createHash } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { calculateJwkThumbprint } from 'jose';
import type { Answer, Api } from '../support/api.js';
import { type ControlPlane, startControlPlane } from '../support/control-plane.js';
import { created, given } from '../support/given.js';
import { OpenSsl } from '../support/openssl.js';
import { type FreshKey, freshKey, rotationBody } from '../support/rotation.js';
import { alsoIn } from '../support/second-membership.js';
import { admittedNode, TestNode } from '../support/test-node.js';
import { VpnStage } from '../support/vpn.js';

let plane: ControlPlane;
let api: Api;
let openssl: OpenSsl;
beforeAll(async () => {
  plane = await startControlPlane();
  api = plane.api;
  openssl = await OpenSsl.open();
});
afterAll(async () => {
  await plane?.close();
  await openssl?.close();
});

/** No lease is to be over before a busy machine has come to what ends it. */
const OUTLASTS_ALL = { leaseTtlSeconds: 600 };

interface Key {
  id: string;
  thumbprint: string;
  status: string;
  certificate: { serial: string; status: string } | null;
}
interface Certificate {
  certificate: string;
  trustBundle: string;
  serial: string;
}

const at = (node: TestNode) => `/clusters/${node.clusterId}/nodes/${node.nodeId}`;
const keysOf = async (node: TestNode) => (await api.get(`${at(node)}/identity`)).body.keys as Key[];
const idOf = async (node: TestNode, key: { publicKey: object } = node) => {
  const thumbprint = await calculateJwkThumbprint(key.publicKey);
  return (await keysOf(node)).find((each) => each.thumbprint === thumbprint)?.id ?? '';
};
const revoke = async (node: TestNode, id: string, more: Record<string, unknown> = {}): Promise<Answer> =>
  api.post(`${at(node)}/identities/${id}/revoke`, { reason: 'The key leaked.', ...more });
const refusal = ({ status, body }: Answer) => [status, body.code];
const epochOf = async ({ clusterId }: TestNode) =>
  (await api.get(`/clusters/${clusterId}/trust`)).body.revocationEpoch as number;
const certificateOf = async (agent: Api) =>
  created(await agent.post('/node-agents/me/certificates', { csr: await openssl.csr() })) as Certificate;
const actionsOf = async (node: TestNode) => {
  const { items } = (await api.get(`/audit/events?resourceId=${node.nodeId}&limit=200`)).body;
  return (items as { action: string }[]).map(({ action }) => action);
};

/** What `openssl verify` says of it with the list that is served now. */
async function isGood({ clusterId }: TestNode, { certificate, trustBundle }: Certificate): Promise<boolean> {
  const response = await fetch(`${plane.url}/api/v1/clusters/${clusterId}/trust/crl`);
  const der = new Uint8Array(await response.arrayBuffer());
  const { ok, text } = await openssl.verifyWithCrl(certificate, trustBundle, der);
  if (!ok) expect(text).toContain('certificate revoked');
  return ok;
}

/** The node with another key, by its own rotation. */
async function rotated(node: TestNode, key?: FreshKey): Promise<TestNode> {
  const next = key ?? (await freshKey());
  const body = await rotationBody(node, next);
  created(await (await node.api()).post('/node-agents/me/identity/rotate', body));
  return node.withKey(next);
}

/** The host with a new key that asks to be the node again. */
async function applicant(node: TestNode, token: Record<string, unknown> = {}): Promise<TestNode> {
  const other = await TestNode.make(plane.url, {
    name: node.name,
    capabilities: ['can_run_vpn_exit', 'can_run_vpn_connector'],
    facts: { machineId: `machine-${node.name}` },
  });
  created(await other.enroll((await given(plane).joinToken(node.clusterId, token)).token));
  return Object.assign(other, { nodeId: node.nodeId });
}

const approve = (other: TestNode, more: Record<string, unknown> = {}) =>
  api.post(`/clusters/${other.clusterId}/join-requests/${other.joinRequestId}/approve`, {
    existingNodeId: other.nodeId,
    override: { reason: 'Seen on the console of the host.' },
    ...more,
  });

describe('the key by which a node is known, once revoked,', () => {
  it('opens nothing any more, ends leases and certificates, and leaves a disabled member behind', async () => {
    const stage = await VpnStage.open(plane);
    const vpn = await stage.node();
    const { node, agent } = vpn;
    const tunnel = await stage.connection([vpn], OUTLASTS_ALL);
    await tunnel.held(vpn);
    const certificate = await certificateOf(agent);
    expect(await isGood(node, certificate)).toBe(true);
    const snapshot = await agent.get('/node-agents/me/snapshot');
    const etag = { 'if-none-match': snapshot.headers.get('etag') ?? '' };
    const held = agent.get('/node-agents/me/snapshot?waitSeconds=50', etag);
    const id = await idOf(node);
    const answer = await revoke(node, id);
    expect([answer.status, answer.body]).toMatchObject([
      200,
      {
        nodeId: node.nodeId,
        membershipStatus: 'disabled',
        keys: [
          {
            id,
            status: 'revoked',
            revokedAt: expect.stringMatching(/Z$/),
            certificate: { serial: certificate.serial, status: 'revoked' },
          },
        ],
      },
    ]);
    const calls = await Promise.all([
      held,
      agent.get('/node-agents/me/snapshot', etag),
      agent.get('/node-agents/me/snapshot'),
      agent.post('/node-agents/me/heartbeat', node.heartbeat()),
      agent.put('/node-agents/me/capabilities', { capabilities: [], facts: { os: 'linux' } }),
      agent.post('/node-agents/me/identity/rotate', await rotationBody(node, await freshKey())),
      agent.post('/node-agents/me/certificates', { csr: await openssl.csr() }),
      tunnel.acquire(vpn),
      node.requestToken(),
    ]);
    expect(calls.map(({ status }) => status)).toEqual(calls.map(() => 401));
    expect(await isGood(node, certificate)).toBe(false);
    expect((await tunnel.leases())[0]).toMatchObject({ status: 'fenced', endReason: 'membership_disabled' });
    expect((await api.get(at(node))).body).toMatchObject({
      membershipStatus: 'disabled',
      riskyStates: ['identity_revoked'],
    });
    expect((await api.get(`${at(node)}/snapshot`)).body).toMatchObject({
      membership: { status: 'disabled' },
      roles: [],
    });
    expect(await epochOf(node)).toBe(1);
    expect((await api.get(`/clusters/${node.clusterId}/trust/revocations/1`)).body).toMatchObject({
      nodeId: node.nodeId,
      identityId: id,
      reason: 'The key leaked.',
    });
    const { items } = (await api.get(`/audit/events?resourceId=${node.nodeId}&action=node_identity.revoked`))
      .body;
    expect(items).toMatchObject([
      {
        highRisk: true,
        reason: 'The key leaked.',
        before: { identityId: id, identityStatus: 'active' },
        after: { identityStatus: 'revoked', revocationEpoch: 1 },
      },
    ]);
  });

  it('changes nothing when it is revoked again, alone or by ten at once', async () => {
    const node = await admittedNode(plane);
    const id = await idOf(node);
    const answers = await Promise.all(Array.from({ length: 10 }, () => revoke(node, id)));
    expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 200));
    expect(new Set(answers.map(({ body }) => JSON.stringify(body))).size).toBe(1);
    expect((await revoke(node, id)).body).toEqual(answers[0]?.body);
    expect(await epochOf(node)).toBe(1);
    expect((await actionsOf(node)).filter((action) => action === 'node_identity.revoked')).toHaveLength(1);
  });

  it('takes those that it had replaced with it', async () => {
    const old = await admittedNode(plane);
    const agent = await old.api();
    const node = await rotated(old);
    const before = await certificateOf(agent);
    created(await revoke(node, await idOf(node)));
    expect((await keysOf(node)).map(({ status }) => status)).toEqual(['revoked', 'revoked']);
    expect((await old.requestToken()).status).toBe(401);
    expect((await agent.get('/node-agents/me/snapshot')).status).toBe(401);
    expect(await isGood(node, before)).toBe(false);
    expect(await epochOf(node)).toBe(1);
  });

  it('leaves a member that was disabled before as it was', async () => {
    const node = await admittedNode(plane);
    created(await api.post(`${at(node)}/disable`));
    created(await revoke(node, await idOf(node)));
    expect((await actionsOf(node)).filter((action) => action === 'node.disabled')).toHaveLength(1);
  });

  it('is refused where a role would fall below its minimum, unless somebody insists', async () => {
    const stage = await VpnStage.open(plane);
    const { node, agent } = await stage.node();
    created(await api.put(`/clusters/${stage.clusterId}/role-coverage/vpn-exit`, { minimum: 1 }));
    const id = await idOf(node);
    expect(refusal(await revoke(node, id))).toEqual([409, 'role_minimum_violated']);
    expect([(await keysOf(node))[0]?.status, await epochOf(node)]).toEqual(['active', 0]);
    expect((await agent.get('/node-agents/me/snapshot')).status).toBe(200);
    created(await revoke(node, id, { force: true }));
    const { items } = (await api.get(`/audit/events?resourceId=${node.nodeId}&action=node.disabled`)).body;
    expect(items[0].after).toEqual({
      membershipStatus: 'disabled',
      forced: true,
      rolesBelowMinimum: ['vpn-exit'],
    });
  });

  it('is revoked while the cluster has no authority, as every revocation is', async () => {
    const node = await admittedNode(plane);
    const move = { to: 'partitioned', reason: 'Test.', expectedTerm: 1 };
    created(await api.post(`/clusters/${node.clusterId}/authority/transitions`, move));
    expect((await revoke(node, await idOf(node))).status).toBe(200);
  });

  it('is nothing that others find: unknown, of another node, of another cluster', async () => {
    const [node, other] = [await admittedNode(plane), await admittedNode(plane)];
    const beside = await admittedNode(plane, node.clusterId);
    for (const id of [await idOf(other), await idOf(beside), node.nodeId, 'x'])
      expect((await revoke(node, id)).status).toBe(404);
    expect(refusal(await api.post(`${at(node)}/identities/${await idOf(node)}/revoke`, {}))).toEqual([
      422,
      'invalid_request',
    ]);
    expect(await epochOf(node)).toBe(0);
  });
});

describe('a key that was replaced', () => {
  it('can be revoked while the node goes on: its tokens and certificates end, and nothing else', async () => {
    const stage = await VpnStage.open(plane);
    const vpn = await stage.node();
    const old = vpn.node;
    const thief = vpn.agent;
    const node = await rotated(old);
    const agent = await node.api();
    const tunnel = await stage.connection([vpn], OUTLASTS_ALL);
    const { fencingToken } = await tunnel.held({ agent });
    const own = await certificateOf(agent);
    const stolen = await certificateOf(thief);
    expect((await old.requestToken()).status).toBe(200);
    const snapshot = await thief.get('/node-agents/me/snapshot');
    const etag = { 'if-none-match': snapshot.headers.get('etag') ?? '' };
    const held = thief.get('/node-agents/me/snapshot?waitSeconds=50', etag);
    created(await revoke(node, await idOf(node, old)));
    expect((await keysOf(node)).map(({ status }) => status)).toEqual(['active', 'revoked']);
    const refused = await Promise.all([
      held,
      thief.get('/node-agents/me/snapshot', etag),
      thief.post('/node-agents/me/heartbeat', node.heartbeat()),
      thief.post('/node-agents/me/certificates', { csr: await openssl.csr() }),
      old.requestToken(),
    ]);
    expect(refused.map(({ status }) => status)).toEqual(refused.map(() => 401));
    expect([await isGood(node, stolen), await isGood(node, own)]).toEqual([false, true]);
    expect((await tunnel.renew({ agent }, fencingToken)).status).toBe(200);
    expect((await agent.get('/node-agents/me/snapshot', etag)).status).toBe(304);
    expect((await node.requestToken()).status).toBe(200);
    expect((await api.get(at(node))).body.membershipStatus).toBe('active');
    expect(await epochOf(node)).toBe(1);
  });

  it('can be revoked long after, for the tokens that it had got before it was replaced', async () => {
    const old = await admittedNode(plane);
    const thief = await old.api();
    const node = await rotated(old);
    await plane.database.query(
      `UPDATE node_identities SET valid_until = now() - make_interval(secs => 0.001) WHERE node_id = $1 AND valid_until IS NOT NULL`,
      [node.nodeId],
    );
    expect((await thief.get('/node-agents/me/snapshot')).status).toBe(200);
    created(await revoke(node, await idOf(node, old)));
    expect((await thief.get('/node-agents/me/snapshot')).status).toBe(401);
  });

  it('does not even repeat its rotation once it is revoked', async () => {
    const old = await admittedNode(plane);
    const key = await freshKey();
    const node = await rotated(old, key);
    const agent = await node.api();
    const repeat = await rotationBody(old, key);
    expect((await agent.post('/node-agents/me/identity/rotate', repeat)).status).toBe(200);
    created(await revoke(node, await idOf(node, old)));
    expect(refusal(await agent.post('/node-agents/me/identity/rotate', repeat))).toEqual([
      401,
      'proof_invalid',
    ]);
  });

  it('takes the certificate that the node still uses with it, and the node is told to get another', async () => {
    const old = await admittedNode(plane);
    const certificate = await certificateOf(await old.api());
    const node = await rotated(old);
    const agent = await node.api();
    const renewal = async () => (await agent.get('/node-agents/me/certificates/renewal')).body;
    expect(await renewal()).toMatchObject({ status: 'active', reason: 'scheduled' });
    created(await revoke(node, await idOf(node, old)));
    const told = await renewal();
    expect(told).toMatchObject({ serial: certificate.serial, status: 'revoked', reason: 'revoked' });
    expect(Date.parse(told.suggestedWindow.end)).toBeLessThanOrEqual(Date.now());
    expect((await keysOf(node)).map((key) => key.certificate?.status)).toEqual(['revoked', 'revoked']);
    expect((await api.get(at(node))).body.riskyStates).toEqual(['certificate_revoked']);
    const next = await certificateOf(agent);
    expect([await isGood(node, certificate), await isGood(node, next)]).toEqual([false, true]);
    expect((await api.get(at(node))).body.riskyStates).toEqual([]);
    expect((await keysOf(node))[0]?.certificate).toMatchObject({ serial: next.serial, status: 'active' });
  });

  it('has asked for whatever came without proof of another key, whoever had the token', async () => {
    const old = await admittedNode(plane);
    const token = await old.api();
    const node = await rotated(old);
    const csr = await openssl.csr();
    const assertion = await node.assertion(node.nodeId, {
      cluster: node.clusterId,
      csrHash: createHash('sha256').update(csr).digest('base64url'),
    });
    const proven = created(
      await token.post('/node-agents/me/certificates', { csr, assertion }),
    ) as Certificate;
    const unproven = await certificateOf(token);
    const { items } = (await api.get(`/clusters/${node.clusterId}/trust/certificates`)).body;
    const askers = new Map(
      items.map((each: { serial: string; identityId: string }) => [each.serial, each.identityId]),
    );
    expect([askers.get(proven.serial), askers.get(unproven.serial)]).toEqual([
      await idOf(node),
      await idOf(node, old),
    ]);
    created(await revoke(node, await idOf(node, old)));
    expect([await isGood(node, proven), await isGood(node, unproven)]).toEqual([true, false]);
  });
});

describe('a revocation that races', () => {
  it('with a rotation ends the old key either way, and the node goes on only where the rotation was first', async () => {
    const outcomes = await Promise.all(
      Array.from({ length: 8 }, async () => {
        const old = await admittedNode(plane);
        const [key, id, agent] = [await freshKey(), await idOf(old), await old.api()];
        const [rotation, revocation] = await Promise.all([
          agent.post('/node-agents/me/identity/rotate', await rotationBody(old, key)),
          revoke(old, id),
        ]);
        expect(revocation.status).toBe(200);
        const statuses = (await keysOf(old)).map(({ status }) => status);
        const { membershipStatus } = (await api.get(at(old))).body;
        const token = (await old.withKey(key).requestToken()).status;
        expect((await old.requestToken()).status).toBe(401);
        return JSON.stringify([rotation.status, statuses, membershipStatus, token]);
      }),
    );
    const possible = [
      [200, ['active', 'revoked'], 'active', 200],
      [401, ['revoked'], 'disabled', 401],
    ].map((each) => JSON.stringify(each));
    expect(possible).toEqual(expect.arrayContaining([...new Set(outcomes)]));
  });

  it('with a request for a certificate leaves none that is good', async () => {
    const nodes = await Promise.all(Array.from({ length: 6 }, () => admittedNode(plane)));
    await Promise.all(
      nodes.map(async (node) => {
        const [agent, csr, id] = [await node.api(), await openssl.csr(), await idOf(node)];
        const [issued] = await Promise.all([
          agent.post('/node-agents/me/certificates', { csr }),
          revoke(node, id),
        ]);
        expect([201, 401]).toContain(issued.status);
        const { items } = (await api.get(`/clusters/${node.clusterId}/trust/certificates`)).body;
        expect(items.map(({ status }: { status: string }) => status)).toEqual(
          issued.status === 201 ? ['revoked'] : [],
        );
      }),
    );
  });
});

describe('a node whose key was revoked', () => {
  it('comes back with a new key as the member that it was, and works again when it is enabled', async () => {
    const stage = await VpnStage.open(plane);
    const { node } = await stage.node();
    created(await api.patch(at(node), { labels: { ring: 'canary' } }));
    const admission = async () => {
      const { items } = (await api.get(`${at(node)}/snapshot/explain`)).body;
      return (items as { pointer: string }[]).find(({ pointer }) => pointer === '/nodeId');
    };
    const admitted = await admission();
    created(await revoke(node, await idOf(node)));
    expect(refusal(await api.post(`${at(node)}/enable`))).toEqual([409, 'node_without_identity']);
    const again = await applicant(node);
    const request = created(await approve(again)) as { status: string; approvedNodeId: string };
    expect(request).toMatchObject({ status: 'approved', approvedNodeId: node.nodeId });
    const agent = await again.api();
    expect((await agent.post('/node-agents/me/heartbeat', again.heartbeat())).status).toBe(200);
    expect((await api.get(at(node))).body).toMatchObject({
      name: node.name,
      membershipStatus: 'disabled',
      labels: { ring: 'canary' },
      riskyStates: [],
    });
    expect(refusal(await agent.post('/node-agents/me/certificates', { csr: await openssl.csr() }))).toEqual([
      403,
      'membership_disabled',
    ]);
    created(await api.post(`${at(node)}/enable`));
    expect((await api.get(at(node))).body).toMatchObject({ membershipStatus: 'active', roles: ['vpn-exit'] });
    const certificate = await certificateOf(agent);
    expect(await isGood(node, certificate)).toBe(true);
    expect((await keysOf(node)).map(({ status }) => status)).toEqual(['active', 'revoked']);
    expect((await node.requestToken()).status).toBe(401);
    expect(await actionsOf(node)).toEqual(
      expect.arrayContaining([
        'node_identity.revoked',
        'node.disabled',
        'node_identity.replaced',
        'node.enabled',
      ]),
    );
    const { items } = (await api.get(`/audit/events?resourceId=${again.joinRequestId}`)).body;
    expect(items.map(({ action }: { action: string }) => action)).toEqual(
      expect.arrayContaining(['join_request.approved', 'join_request.host_proof_overridden']),
    );
    // Its snapshot is there since it was admitted first, whatever key it has.
    expect(await admission()).toEqual(admitted);
  });

  it.each([
    ['its name', { nodeName: 'other' }, '#/nodeName'],
    ['its group', { groupId: null }, '#/groupId'],
    ['its labels', { labels: {} }, '#/labels'],
    ['its roles', { roles: [] }, '#/roles'],
  ])('keeps %s: an approval that would change it is refused', async (_, change, pointer) => {
    const node = await admittedNode(plane);
    created(await revoke(node, await idOf(node)));
    const answer = await approve(await applicant(node), change);
    expect([...refusal(answer), answer.body.errors[0].pointer]).toEqual([422, 'invalid_request', pointer]);
    expect((await keysOf(node)).map(({ status }) => status)).toEqual(['revoked']);
  });

  it('needs a token that was made for what it is', async () => {
    const stage = await VpnStage.open(plane);
    const { node } = await stage.node();
    created(await revoke(node, await idOf(node)));
    for (const scope of [{ roles: ['core-mesh'] }, { groupId: await groupOf(node) }]) {
      const answer = await approve(await applicant(node, { scope }));
      expect(refusal(answer)).toEqual([422, 'outside_token_scope']);
    }
    const fitting = { roles: ['vpn-exit'], nodeNamePattern: node.name };
    expect((await approve(await applicant(node, { scope: fitting }))).status).toBe(200);
  });

  it('gets one key of two that are approved at once, and none while it has one', async () => {
    const node = await admittedNode(plane);
    expect(refusal(await approve(await applicant(node)))).toEqual([409, 'node_already_member']);
    created(await revoke(node, await idOf(node)));
    const [one, other] = [await applicant(node), await applicant(node)];
    const answers = await Promise.all([approve(one), approve(other)]);
    expect(answers.map(refusal).sort()).toEqual([
      [200, undefined],
      [409, 'node_already_member'],
    ]);
    expect((await keysOf(node)).map(({ status }) => status)).toEqual(['active', 'revoked']);
  });

  it('is not given the revoked key again', async () => {
    const node = await admittedNode(plane);
    created(await revoke(node, await idOf(node)));
    const { token } = await given(plane).joinToken(node.clusterId);
    const again = node.withKey(node.key);
    created(await again.enroll(token));
    expect(refusal(await approve(again))).toEqual([409, 'key_already_enrolled']);
  });

  it('can be proven by the key that its host has in another cluster', async () => {
    const first = await admittedNode(plane);
    const second = await alsoIn(plane, first, (await given(plane).cluster()).id);
    created(await revoke(second, await idOf(second)));
    expect((await first.requestToken()).status).toBe(200);
    const again = await applicant(second);
    const hostProof = await first.sign({
      aud: plane.url,
      iat: Math.floor(Date.now() / 1000),
      jti: again.joinRequestId,
      joinRequestId: again.joinRequestId,
      keyThumbprint: await calculateJwkThumbprint(again.publicKey),
    });
    expect((await approve(again, { override: undefined, hostProof })).status).toBe(200);
    expect((await again.requestToken()).status).toBe(200);
  });
});

async function groupOf({ clusterId }: TestNode): Promise<string> {
  const path = `/clusters/${clusterId}/node-groups`;
  return (created(await api.post(path, { name: 'elsewhere' })) as { id: string }).id;
}
