import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import type { Answer } from '../support/api.js';
import { type ControlPlane, startControlPlane } from '../support/control-plane.js';
import { created } from '../support/given.js';
import { openSecondSession } from '../support/second-session.js';
import { type Lease, stopClock, type VpnNode, VpnStage, type VpnTunnel } from '../support/vpn.js';

const limits = { principalPerMinute: 100_000, nodePerMinute: 100_000, unknownCredentialsPerMinute: 100_000 };

let plane: ControlPlane;
let stage: VpnStage;
let one: VpnNode;
let two: VpnNode;
let tunnel: VpnTunnel;
beforeAll(async () => {
  plane = await startControlPlane({ config: { limits } });
  await stopClock(plane);
});
afterAll(() => plane?.close());
beforeEach(async () => {
  stage = await VpnStage.open(plane);
  [one, two] = (await stage.nodes(2)) as [VpnNode, VpnNode];
  tunnel = await stage.connection([one, two]);
});

const refusal = ({ status, body }: Answer) => ({ status, code: body.code });
const nodePath = ({ id }: VpnNode) => `/clusters/${stage.clusterId}/nodes/${id}`;
const facts = { os: 'linux', arch: 'x64', hostname: 'h' };

describe('a lease whose owner loses what it rests on', () => {
  const policy = (denied: string[]) =>
    plane.api.put(`/clusters/${stage.clusterId}/policy`, { capabilityPolicy: { denied } });
  it.each<[string, () => Promise<Answer>, string, string, unknown]>([
    [
      'its role by disabling',
      () => plane.api.post(`${one.assignment}/disable`),
      'role_disabled',
      'role_assignment.disabled',
      409,
    ],
    [
      'its role for good',
      () => plane.api.delete(one.assignment),
      'role_missing',
      'role_assignment.deleted',
      409,
    ],
    [
      'its active membership',
      () => plane.api.post(`${nodePath(one)}/disable`),
      'membership_disabled',
      'node.disabled',
      409,
    ],
    [
      'its membership',
      () => plane.api.post(`${nodePath(one)}/revoke`, { reason: 'Stolen.' }),
      'membership_revoked',
      'node.revoked',
      401,
    ],
    [
      'the capability that it reported',
      () => one.agent.put('/node-agents/me/capabilities', { capabilities: ['can_run_vpn_connector'], facts }),
      'capability_missing',
      'node.capabilities_changed',
      409,
    ],
    [
      'the capability by the policy',
      () => policy(['can_run_vpn_exit']),
      'capability_denied',
      'cluster_policy.updated',
      409,
    ],
    [
      'its place among the allowed nodes',
      () => plane.api.put(`${tunnel.path}/allowed-nodes`, { nodeIds: [two.id] }),
      'not_allowed',
      'vpn_connection.updated',
      404,
    ],
    [
      'the enabled connection',
      () => plane.api.patch(tunnel.path, { desiredState: 'disabled' }),
      'connection_disabled',
      'vpn_connection.updated',
      409,
    ],
    [
      'the connection of its kind',
      () => plane.api.patch(tunnel.path, { kind: 'connector' }),
      'role_missing',
      'vpn_connection.updated',
      409,
    ],
    [
      'the connection',
      () => plane.api.delete(tunnel.path),
      'connection_deleted',
      'vpn_connection.deleted',
      404,
    ],
  ])('%s ends in the same transaction, with the reason', async (_, take, reason, action, status) => {
    const lease = await tunnel.held(one);
    const other = await (await stage.connection([one])).held(one);
    expect(String((await take()).status)).toMatch(/^2/);
    const [row] = await plane.database.query<Record<string, unknown>>(
      `SELECT l.status, l.end_reason, l.ended_at < l.expires_at AS early, e.action = $2 AS caused
         FROM vpn_connection_leases AS l
         JOIN audit_events AS f ON f.resource_id = l.connection_id::text AND f.action = 'vpn_lease.fenced'
         JOIN audit_events AS e ON e.xmin = f.xmin AND e.action = $2
        WHERE l.id = $1`,
      [lease.id, action],
    );
    expect(row).toEqual({ status: 'fenced', end_reason: reason, early: true, caused: true });
    expect((await tunnel.active()).status).toBe(404);
    expect((await tunnel.renew(one, lease.fencingToken)).status).toBe(status);
    // What else the node holds ends where it rests on the same.
    const [second] = await plane.database.query('SELECT status FROM vpn_connection_leases WHERE id = $1', [
      other.id,
    ]);
    expect(second).toEqual({
      status: /connection|allowed/.test(reason) || action === 'vpn_connection.updated' ? 'active' : 'fenced',
    });
  });

  it('says so to who asks for it then, with every reason', async () => {
    await plane.api.post(`${one.assignment}/disable`);
    const refused = await tunnel.acquire(one);
    expect(refusal(refused)).toEqual({ status: 409, code: 'owner_not_eligible' });
    expect(refused.body.reasons).toEqual(['role_disabled']);
    await plane.api.post(`${nodePath(one)}/disable`);
    expect((await tunnel.acquire(one)).body.reasons).toEqual(['membership_disabled', 'role_disabled']);
    await plane.api.patch(tunnel.path, { desiredState: 'disabled' });
    expect((await tunnel.act('acquire', { nodeId: two.id })).body.reasons).toEqual(['connection_disabled']);
    const stranger = await tunnel.act('acquire', { nodeId: randomUUID() });
    expect(stranger.body.reasons).toEqual([
      'connection_disabled',
      'not_a_member',
      'not_allowed',
      'role_missing',
    ]);
  });

  it('goes on where something else gives the same', async () => {
    const organizationId = randomUUID();
    const scoped = await stage.connection([one], { organizationId });
    created(
      await plane.api.post(`/clusters/${stage.clusterId}/role-assignments`, {
        nodeId: one.id,
        role: 'vpn-exit',
        organizationId,
      }),
    );
    const [general, special] = [await tunnel.held(one), await scoped.held(one)];
    await plane.api.delete(one.assignment);
    expect((await scoped.renew(one, special.fencingToken)).status).toBe(200);
    expect((await tunnel.renew(one, general.fencingToken)).status).toBe(409);
    await plane.api.patch(scoped.path, { organizationId: null });
    expect((await scoped.leases())[0]).toMatchObject({ status: 'fenced', endReason: 'role_missing' });
  });

  it('is not touched by what does not concern it', async () => {
    const lease = await tunnel.held(one);
    await plane.api.post(`${two.assignment}/disable`);
    await plane.api.patch(tunnel.path, {
      name: 'New',
      routePolicies: [],
      preferredNodeIds: [one.id],
      leaseTtlSeconds: 60,
    });
    await plane.api.put(`${tunnel.path}/allowed-nodes`, { nodeIds: [one.id] });
    await plane.api.put(`/clusters/${stage.clusterId}/policy`, {
      capabilityPolicy: { denied: ['can_route_mesh'] },
    });
    await one.agent.put('/node-agents/me/capabilities', { capabilities: ['can_run_vpn_exit', 'x_y'], facts });
    const renewal = await tunnel.renew(one, lease.fencingToken);
    expect(renewal.body).toMatchObject({ id: lease.id, ttlSeconds: 60 });
  });

  it('is written down as expired where its time was over before', async () => {
    const lease = await tunnel.held(one);
    await stage.advance(30);
    await plane.api.post(`${one.assignment}/disable`);
    expect((await tunnel.leases())[0]).toMatchObject({
      id: lease.id,
      status: 'expired',
      endReason: 'expired',
    });
  });

  it('leaves nothing behind when that is only tried', async () => {
    const lease = await tunnel.held(one);
    created(await plane.api.post(`${nodePath(one)}/disable?dryRun=true`));
    created(await plane.api.delete(`${tunnel.path}?dryRun=true`));
    expect((await tunnel.active()).body.id).toBe(lease.id);
  });
});

describe('a role that ends by the time alone', () => {
  const secondsLeft = (lease: Lease) => (Date.parse(lease.expiresAt) - Date.parse(lease.serverTime)) / 1000;
  const within = async (seconds: number) => {
    const [row] = await plane.database.query<{ at: Date }>(
      'SELECT fabric_now() + make_interval(secs => $1) AS at',
      [seconds],
    );
    return row?.at.toISOString();
  };

  it('bounds the lease at each acquisition and renewal', async () => {
    const validUntil = await within(40);
    const bounded = await stage.node({ validUntil });
    const connection = await stage.connection([bounded]);
    const lease = await connection.held(bounded);
    expect(lease.expiresAt < (validUntil ?? '')).toBe(true);
    await stage.advance(20);
    const renewal = await connection.renew(bounded, lease.fencingToken);
    expect(renewal.body.expiresAt).toBe(validUntil);
    expect((await connection.renew(bounded, lease.fencingToken)).body.expiresAt).toBe(validUntil);
    await stage.advance(20);
    expect((await connection.active()).status).toBe(404);
    expect((await connection.acquire(bounded)).body.reasons).toEqual(['role_no_longer_valid']);
  });

  it('bounds it no more once another one is given, and again once that is taken', async () => {
    const validUntil = await within(1000);
    const bounded = await stage.node({ validUntil, organizationId: null });
    const organizationId = randomUUID();
    const connection = await stage.connection([bounded], { organizationId, leaseTtlSeconds: 3600 });
    const lease = await connection.held(bounded);
    expect(lease.expiresAt).toBe(validUntil);
    const path = `/clusters/${stage.clusterId}/role-assignments`;
    const more = created(
      await plane.api.post(path, { nodeId: bounded.id, role: 'vpn-exit', organizationId }),
    ) as { id: string };
    expect(secondsLeft((await connection.renew(bounded, lease.fencingToken)).body)).toBe(3600);
    await plane.api.post(`${path}/${more.id}/disable`);
    expect((await connection.active()).body.expiresAt).toBe(validUntil);
    expect((await connection.renew(bounded, lease.fencingToken)).body.expiresAt).toBe(validUntil);
  });
});

describe('an acquisition', () => {
  it.each<[string, (node: VpnNode) => Promise<Answer>]>([
    ['a role is taken', (node) => plane.api.delete(node.assignment)],
    ['its member is disabled', (node) => plane.api.post(`${nodePath(node)}/disable`)],
    [
      'its node is not allowed any more',
      () => plane.api.put(`${tunnel.path}/allowed-nodes`, { nodeIds: [] }),
    ],
    [
      'the policy denies its capability',
      () =>
        plane.api.put(`/clusters/${stage.clusterId}/policy`, {
          capabilityPolicy: { denied: ['can_run_vpn_exit'] },
        }),
    ],
  ])('at the moment at which %s leaves no lease of an owner that is not eligible', async (_, take) => {
    for (let round = 0; round < 3; round += 1) {
      await plane.api.put(`/clusters/${stage.clusterId}/policy`, {});
      const node = await stage.node();
      await plane.api.put(`${tunnel.path}/allowed-nodes`, { nodeIds: [node.id] });
      const [taken, acquired] = await Promise.all([take(node), tunnel.acquire(node)]);
      expect(taken.status).toBeLessThan(300);
      expect([201, 404, 409]).toContain(acquired.status);
      expect((await tunnel.active()).status).toBe(404);
    }
  });

  it('waits for the change of a role that is under way, and sees it', async () => {
    const session = await openSecondSession(plane);
    try {
      // The change is done and not committed: everything that it has locked, it still holds.
      await session.query('BEGIN');
      await session.query('SELECT 1 FROM cluster_memberships WHERE node_id = $1 FOR NO KEY UPDATE', [one.id]);
      await session.query(`UPDATE node_role_assignments SET status = 'disabled' WHERE node_id = $1`, [
        one.id,
      ]);
      const acquiring = tunnel.acquire(one);
      await session.untilWaiting();
      await session.query('COMMIT');
      expect((await acquiring).body.reasons).toEqual(['role_disabled']);
    } finally {
      await session.end();
    }
  });
});
