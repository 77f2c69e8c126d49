import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import type { Answer } from '../support/api.js';
import { type ControlPlane, startControlPlane } from '../support/control-plane.js';
import { created } from '../support/given.js';
import { type VpnNode, VpnStage, type VpnTunnel } from '../support/vpn.js';

const limits = { principalPerMinute: 100_000, nodePerMinute: 100_000, unknownCredentialsPerMinute: 100_000 };
const ROUTES = [{ cidr: '10.0.0.0/8', action: 'allow', priority: 100 }];

let plane: ControlPlane;
let stage: VpnStage;
let one: VpnNode;
let two: VpnNode;
let tunnel: VpnTunnel;
beforeAll(async () => {
  plane = await startControlPlane({ config: { limits } });
});
afterAll(() => plane?.close());
beforeEach(async () => {
  stage = await VpnStage.open(plane);
  [one, two] = (await stage.nodes(2)) as [VpnNode, VpnNode];
  tunnel = await stage.connection([one, two], {
    name: 'Exit 1',
    routePolicies: ROUTES,
    credentialRef: 'vault:x',
  });
});

interface Own {
  connectionId: string;
  lease: { id: string } | null;
  heldUntil: string | null;
  eligible: boolean;
  reasons: string[];
  status: string;
}
const own = async ({ agent }: VpnNode): Promise<Own[]> =>
  (created(await agent.get('/node-agents/me/vpn-assignments')) as { items: Own[] }).items;
const statusPath = (id = tunnel.id) => `/node-agents/me/vpn-assignments/${id}/status`;
const snapshotOf = async ({ id }: VpnNode) =>
  created(await plane.api.get(`/clusters/${stage.clusterId}/nodes/${id}/snapshot`)) as {
    generation: number;
    vpnAssignments: { connectionId: string; desiredState: string }[];
  };
const refusal = ({ status, body }: Answer) => ({ status, code: body.code });

describe("a node's assignments", () => {
  it('are the connections that it may hold, with its own lease and no other', async () => {
    const lease = await tunnel.held(one);
    expect(await own(one)).toEqual([
      {
        connectionId: tunnel.id,
        name: 'Exit 1',
        kind: 'exit',
        desiredState: 'enabled',
        hasCredentialRef: true,
        leaseTtlSeconds: 30,
        routePolicies: ROUTES,
        lease: expect.objectContaining({ id: lease.id, fencingToken: lease.fencingToken }),
        heldUntil: null,
        eligible: true,
        reasons: [],
        status: 'unknown',
      },
    ]);
    expect(await own(two)).toEqual([
      expect.objectContaining({
        connectionId: tunnel.id,
        lease: null,
        heldUntil: lease.expiresAt,
        eligible: true,
      }),
    ]);
    const answer = await two.agent.get('/node-agents/me/vpn-assignments');
    expect(JSON.stringify(answer.body)).not.toContain(one.id);
    expect(Date.parse(answer.body.serverTime)).toBeLessThan(Date.parse(lease.expiresAt));
    await stage.advance(30);
    expect(await own(one)).toEqual([expect.objectContaining({ lease: null, heldUntil: null })]);
  });

  it('hold nothing that does not allow the node, nor of another cluster, nor what its roles do not fit', async () => {
    const organizationId = randomUUID();
    await stage.connection([two]);
    const connector = await stage.connection([one], { kind: 'connector' });
    const foreign = await stage.connection([one], { organizationId });
    const disabled = await stage.connection([one], { desiredState: 'disabled' });
    const ids = async () => (await own(one)).map(({ connectionId }) => connectionId);
    // A role for all organizations fits what is one organization's.
    expect(await ids()).toEqual([disabled.id, foreign.id, tunnel.id]);
    expect((await own(one))[0]).toMatchObject({ eligible: false, reasons: ['connection_disabled'] });
    await plane.api.delete(one.assignment);
    expect(await ids()).toEqual([]);
    const assign = (role: string, more = {}) =>
      plane.api.post(`/clusters/${stage.clusterId}/role-assignments`, { nodeId: one.id, role, ...more });
    created(await assign('vpn-exit', { organizationId }));
    expect(await ids()).toEqual([foreign.id]);
    created(await assign('vpn-connector', { validFrom: '2090-01-01T00:00:00Z' }));
    expect((await own(one)).map(({ connectionId, reasons }) => [connectionId, reasons])).toEqual([
      [foreign.id, []],
      [connector.id, ['role_not_yet_valid']],
    ]);
    await plane.api.post(`/clusters/${stage.clusterId}/nodes/${one.id}/disable`);
    expect(await ids()).toEqual([]);
  });

  it('are paged, newest first', async () => {
    const more = [await stage.connection([one]), await stage.connection([one])];
    const first = await one.agent.get('/node-agents/me/vpn-assignments?limit=2');
    const second = await one.agent.get(
      `/node-agents/me/vpn-assignments?limit=2&cursor=${first.body.nextCursor}`,
    );
    const ids = [...first.body.items, ...second.body.items].map((item: Own) => item.connectionId);
    expect(ids).toEqual([more[1]?.id, more[0]?.id, tunnel.id]);
  });
});

describe('what a node reports of an assignment', () => {
  it('is shown to it and to operators, and a change is told once', async () => {
    const first = await one.agent.put(statusPath(), { status: 'blocked', message: 'No interface.' });
    expect(first.status).toBe(200);
    expect(first.body).toEqual({
      connectionId: tunnel.id,
      status: 'blocked',
      message: 'No interface.',
      reportedAt: expect.any(String),
    });
    await one.agent.put(statusPath(), { status: 'blocked', unknownMember: 1 });
    expect((await own(one))[0]?.status).toBe('blocked');
    const { items } = (await plane.api.get(`${tunnel.path}/assignments`)).body;
    const shown = items.find((item: { nodeId: string }) => item.nodeId === one.id);
    expect(shown).toMatchObject({ status: 'blocked', message: null, reportedAt: expect.any(String) });
    const events = await plane.database.query<{ before: object; after: object; actor_id: string }>(
      `SELECT before, after, actor_id FROM audit_events WHERE resource_id = $1 AND action = 'vpn_assignment.status_changed'`,
      [tunnel.id],
    );
    expect(events).toEqual([
      {
        before: { nodeId: one.id, status: 'unknown' },
        after: { nodeId: one.id, status: 'blocked', message: 'No interface.' },
        actor_id: one.id,
      },
    ]);
  });

  it.each(['not_started', 'assigned', 'lease_required', 'blocked', 'unknown'])(
    'may be %s',
    async (status) => {
      expect((await one.agent.put(statusPath(), { status })).body.status).toBe(status);
    },
  );

  it('is refused with any other status, and of what the node may not know', async () => {
    const wrong = await one.agent.put(statusPath(), { status: 'running' });
    expect(wrong.body.errors).toEqual([expect.objectContaining({ pointer: '#/status' })]);
    expect(wrong.status).toBe(422);
    const stranger = await stage.node();
    const foreign = await (await VpnStage.open(plane)).node();
    for (const { agent } of [stranger, foreign])
      expect(refusal(await agent.put(statusPath(), { status: 'blocked' }))).toEqual({
        status: 404,
        code: 'not_found',
      });
    expect((await one.agent.put(statusPath(randomUUID()), { status: 'blocked' })).status).toBe(404);
  });
});

describe('the candidates of a connection', () => {
  it('are all allowed nodes, each with what keeps it from holding it', async () => {
    await tunnel.held(one);
    const third = await stage.node();
    const nodes = [one, two, third];
    await plane.api.patch(tunnel.path, {
      allowedNodeIds: nodes.map(({ id }) => id),
      preferredNodeIds: [two.id],
    });
    await plane.api.post(`${third.assignment}/disable`);
    const answer = await plane.api.get(`${tunnel.path}/assignments`);
    const byNode = new Map(answer.body.items.map((item: { nodeId: string }) => [item.nodeId, item]));
    expect(byNode.get(one.id)).toEqual({
      nodeId: one.id,
      name: one.node.name,
      preference: null,
      eligible: true,
      reasons: [],
      holdsLease: true,
      status: 'unknown',
      message: null,
      reportedAt: null,
    });
    expect(byNode.get(two.id)).toMatchObject({ preference: 0, eligible: true, holdsLease: false });
    expect(byNode.get(third.id)).toMatchObject({ eligible: false, reasons: ['role_disabled'] });
    const first = await plane.api.get(`${tunnel.path}/assignments?limit=2`);
    const second = await plane.api.get(`${tunnel.path}/assignments?limit=2&cursor=${first.body.nextCursor}`);
    const ids = [...first.body.items, ...second.body.items].map((item: { nodeId: string }) => item.nodeId);
    expect(ids).toEqual(nodes.map(({ id }) => id).sort());
    const other = (await VpnStage.open(plane)).clusterId;
    expect((await plane.api.get(`/clusters/${other}/vpn-connections/${tunnel.id}/assignments`)).status).toBe(
      404,
    );
  });
});

describe('a snapshot', () => {
  it('holds the connections of a node with a role for them, and nothing of their leases', async () => {
    const before = await snapshotOf(one);
    expect(before.vpnAssignments).toEqual([
      {
        connectionId: tunnel.id,
        name: 'Exit 1',
        kind: 'exit',
        desiredState: 'enabled',
        hasCredentialRef: true,
        leaseTtlSeconds: 30,
        routePolicies: ROUTES,
      },
    ]);
    const lease = await tunnel.held(one);
    await tunnel.renew(one, lease.fencingToken);
    await tunnel.act('fence', { reason: 'x' });
    expect(await snapshotOf(one)).toEqual(before);
  });

  it('grows for exactly the nodes that are concerned', async () => {
    const three = await stage.node();
    const without = await stage.node({ role: 'vpn-connector' });
    const nodes = [one, two, three, without];
    const generations = async () =>
      Promise.all(nodes.map(async (node) => (await snapshotOf(node)).generation));
    const grown = async (change: Promise<Answer>) => {
      const before = await generations();
      created(await change);
      const after = await generations();
      return after.map((generation, index) => generation - (before[index] ?? 0));
    };
    expect(await grown(plane.api.patch(tunnel.path, { name: 'Exit one' }))).toEqual([1, 1, 0, 0]);
    expect(await grown(plane.api.patch(tunnel.path, { name: 'Exit one' }))).toEqual([0, 0, 0, 0]);
    const nodeIds = [two, three, without].map(({ id }) => id);
    expect(await grown(plane.api.put(`${tunnel.path}/allowed-nodes`, { nodeIds }))).toEqual([1, 0, 1, 0]);
    // Preferences, failback and reservations are nobody's business but the service's.
    expect(await grown(plane.api.patch(tunnel.path, { preferredNodeIds: [two.id] }))).toEqual([0, 0, 0, 0]);
    expect(await grown(plane.api.patch(tunnel.path, { credentialRef: 'vault:y' }))).toEqual([0, 0, 0, 0]);
    expect(await grown(plane.api.patch(tunnel.path, { credentialRef: null }))).toEqual([0, 1, 1, 0]);
    expect(await grown(plane.api.put(`${tunnel.path}/route-policies`, { routePolicies: [] }))).toEqual([
      0, 1, 1, 0,
    ]);
    expect(await grown(plane.api.post(`${two.assignment}/disable`))).toEqual([0, 1, 0, 0]);
    expect(await grown(plane.api.patch(tunnel.path, { desiredState: 'disabled' }))).toEqual([0, 0, 1, 0]);
    expect((await snapshotOf(three)).vpnAssignments[0]?.desiredState).toBe('disabled');
    expect(await grown(plane.api.delete(tunnel.path))).toEqual([0, 0, 1, 0]);
    expect((await snapshotOf(three)).vpnAssignments).toEqual([]);
  });

  it('shows in a dry run what a change would do to it', async () => {
    const answer = await plane.api.put(`${tunnel.path}/allowed-nodes?dryRun=true`, { nodeIds: [one.id] });
    expect(answer.body).toMatchObject({ dryRun: true, affectedNodes: 1, changes: [{ nodeId: two.id }] });
    expect(answer.body.changes[0].after.vpnAssignments).toEqual([]);
    expect(await own(two)).toHaveLength(1);
  });
});

describe('the summary of a cluster', () => {
  it('counts connections by what becomes of them', async () => {
    await stage.connection([one], { desiredState: 'disabled' });
    await stage.connection([one]);
    await tunnel.held(one);
    const counts = async () => (await plane.api.get(`/clusters/${stage.clusterId}/summary`)).body.leases;
    expect(await counts()).toEqual({ active: 1, free: 1, disabled: 1 });
    await stage.advance(30);
    expect(await counts()).toEqual({ active: 0, free: 2, disabled: 1 });
  });
});
