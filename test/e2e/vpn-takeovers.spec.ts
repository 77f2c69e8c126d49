import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { Jobs } from '../../src/common/jobs/jobs.js';
import { HealthWatch } from '../../src/modules/nodes/health-watch.js';
import type { Answer } from '../support/api.js';
import { type ControlPlane, startControlPlane } from '../support/control-plane.js';
import { created, several } from '../support/given.js';
import { until } from '../support/until.js';
import { stopClock, type VpnNode, VpnStage, type VpnTunnel } from '../support/vpn.js';

const limits = { principalPerMinute: 100_000, nodePerMinute: 100_000, unknownCredentialsPerMinute: 100_000 };

let plane: ControlPlane;
let stage: VpnStage;
let one: VpnNode;
let two: VpnNode;
let three: VpnNode;
let tunnel: VpnTunnel;
beforeAll(async () => {
  plane = await startControlPlane({ config: { limits } });
  await stopClock(plane);
});
afterAll(() => plane?.close());
beforeEach(async () => {
  stage = await VpnStage.open(plane);
  [one, two, three] = (await stage.nodes(3)) as [VpnNode, VpnNode, VpnNode];
  tunnel = await stage.connection([one, two, three]);
});

const refusal = ({ status, body }: Answer) => ({ status, code: body.code });
const held = { status: 409, code: 'takeover_held' };
const lives = (...nodes: VpnNode[]) =>
  Promise.all(nodes.map(({ agent, node }) => agent.post('/node-agents/me/heartbeat', node.heartbeat())));
const failback = () => plane.app.get(Jobs).runNow('vpn', 'failback');
/** They live, and the watch has written that down: this sweep, or one of the worker's own that was at it already. */
async function areSeenWell(...nodes: VpnNode[]): Promise<void> {
  await lives(...nodes);
  const ids = nodes.map(({ id }) => id);
  await until(
    async () => {
      await plane.app.get(HealthWatch).sweep();
      return plane.database.query(
        `SELECT 1 FROM node_health_records WHERE node_id = ANY($1) AND health IN ('online', 'degraded')`,
        [ids],
      );
    },
    ({ length }) => length === ids.length,
  );
}

describe('a handover', () => {
  it('asks the holder to release, and lets the named node alone follow', async () => {
    const lease = await tunnel.held(one);
    const answer = await tunnel.act('handover', { toNodeId: two.id, reserveSeconds: 90 });
    expect(answer.status).toBe(200);
    expect(answer.body).toEqual({
      lease: expect.objectContaining({ id: lease.id, status: 'active', releaseRequested: true }),
      toNodeId: two.id,
      reservedUntil: expect.any(String),
      serverTime: expect.any(String),
    });
    expect(Date.parse(answer.body.reservedUntil) - Date.parse(answer.body.serverTime)).toBe(90_000);
    // Until it releases, the holder has the connection and nobody else: not even the one that is to follow.
    expect((await tunnel.renew(one, lease.fencingToken)).body.releaseRequested).toBe(true);
    expect((await tunnel.acquire(one)).body.releaseRequested).toBe(true);
    expect(refusal(await tunnel.acquire(two))).toEqual({ status: 409, code: 'lease_held' });
    await tunnel.release(one, lease.fencingToken);
    for (const node of [one, three]) {
      const refused = await tunnel.acquire(node);
      expect(refusal(refused)).toEqual(held);
      expect(refused.body).toMatchObject({
        rule: 'not_reserved_for_another',
        heldUntil: answer.body.reservedUntil,
      });
      expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(60);
    }
    const next = await tunnel.held(two);
    expect(next).toMatchObject({ fencingToken: lease.fencingToken + 1, releaseRequested: false });
    // The reservation is spent.
    await tunnel.release(two, next.fencingToken);
    await tunnel.held(three);
    expect((await tunnel.events()).map(({ action }) => action)).toEqual([
      'vpn_lease.acquired',
      'vpn_lease.handover_requested',
      'vpn_lease.released',
      'vpn_lease.acquired',
      'vpn_lease.released',
      'vpn_lease.acquired',
    ]);
  });

  it('is over when nobody has followed in time', async () => {
    const lease = await tunnel.held(one);
    const { body } = await tunnel.act('handover', { toNodeId: two.id });
    expect(Date.parse(body.reservedUntil) - Date.parse(body.serverTime)).toBe(60_000);
    await tunnel.release(one, lease.fencingToken);
    await stage.advance(60);
    expect((await tunnel.held(three)).releaseRequested).toBe(false);
  });

  it('is withdrawn for the holder itself, and replaced by another', async () => {
    const lease = await tunnel.held(one);
    await tunnel.act('handover', { toNodeId: two.id });
    await tunnel.act('handover', { toNodeId: three.id });
    const withdrawn = await tunnel.act('handover', { toNodeId: one.id });
    expect(withdrawn.body).toMatchObject({
      toNodeId: null,
      reservedUntil: null,
      lease: { releaseRequested: false },
    });
    expect((await tunnel.act('handover', { toNodeId: one.id })).status).toBe(200);
    expect((await tunnel.renew(one, lease.fencingToken)).body.releaseRequested).toBe(false);
    expect((await tunnel.events()).map(({ action }) => action)).toEqual([
      'vpn_lease.acquired',
      'vpn_lease.handover_requested',
      'vpn_lease.handover_requested',
      'vpn_lease.handover_withdrawn',
    ]);
  });

  it('of a free connection keeps it for the node', async () => {
    const answer = await tunnel.act('handover', { toNodeId: two.id });
    expect(answer.body).toMatchObject({ lease: null, toNodeId: two.id });
    expect(refusal(await tunnel.acquire(one))).toEqual(held);
    await tunnel.held(two);
  });

  it('goes to a node that may hold the connection only, and ends when it may not any more', async () => {
    const stranger = await stage.node();
    const refused = await tunnel.act('handover', { toNodeId: stranger.id });
    expect(refusal(refused)).toEqual({ status: 409, code: 'owner_not_eligible' });
    expect(refused.body.reasons).toEqual(['not_allowed']);
    await tunnel.act('handover', { toNodeId: two.id });
    await plane.api.post(`${two.assignment}/disable`);
    await tunnel.held(one);
    expect((await tunnel.events()).at(-2)).toMatchObject({
      action: 'vpn_lease.handover_withdrawn',
      reason: 'role_disabled',
    });
    expect((await tunnel.act('handover', { toNodeId: 'x' })).status).toBe(422);
    expect((await tunnel.act('handover', { toNodeId: one.id, reserveSeconds: 4 })).status).toBe(422);
  });
});

describe('a preferred node', () => {
  beforeEach(async () => {
    await plane.api.patch(tunnel.path, { preferredNodeIds: [one.id, two.id] });
  });

  it('that is well comes first when the connection becomes free, for a moment', async () => {
    await lives(one, two, three);
    for (const node of [two, three]) {
      const refused = await tunnel.acquire(node);
      expect(refusal(refused)).toEqual(held);
      expect(refused.body.rule).toBe('no_preferred_node');
      expect(Number(refused.headers.get('retry-after'))).toBeLessThanOrEqual(30);
    }
    const lease = await tunnel.held(one);
    await tunnel.release(one, lease.fencingToken);
    await stage.advance(29);
    expect(refusal(await tunnel.acquire(three))).toEqual(held);
    await stage.advance(1);
    await tunnel.held(three);
  });

  it('that is not well, or may not hold the connection, keeps nobody from it', async () => {
    // None has ever sent a heartbeat.
    const lease = await tunnel.held(three);
    await tunnel.release(three, lease.fencingToken);
    await lives(one, two);
    await plane.api.post(`${one.assignment}/disable`);
    expect(refusal(await tunnel.acquire(three))).toEqual(held);
    await tunnel.held(two);
  });

  it('that has just let its lease run out keeps nobody from it', async () => {
    await lives(one, two, three);
    await tunnel.held(one);
    await stage.advance(30);
    // The first has shown that it does not get along; the second is well and comes before the third.
    expect(refusal(await tunnel.acquire(three))).toEqual(held);
    await tunnel.held(two);
  });
});

describe('failback', () => {
  /** The node has been well for so long, as the watch wrote it down. */
  const wellFor = async (seconds: number, ...nodes: VpnNode[]) => {
    await areSeenWell(...nodes);
    await plane.database.query(
      `UPDATE node_health_records SET since = fabric_now() - make_interval(secs => $2) WHERE node_id = ANY($1)`,
      [nodes.map(({ id }) => id), seconds],
    );
  };
  const policy = (seconds: number) =>
    plane.api.patch(tunnel.path, {
      preferredNodeIds: [one.id],
      failbackPolicy: { mode: 'after_stable_seconds', seconds },
    });
  const isRequested = async () => (await tunnel.active()).body.releaseRequested;

  it('asks for the connection once the preferred node and its owner have been stable for as long', async () => {
    const lease = await tunnel.held(two);
    created(await policy(120));
    await wellFor(60, one);
    await stage.advance(29);
    await tunnel.renew(two, lease.fencingToken);
    await failback();
    expect(await isRequested()).toBe(false);
    // The node is stable for long enough, its owner has not had the connection for so long.
    await wellFor(200, one);
    await failback();
    expect(await isRequested()).toBe(false);
    for (let waited = 0; waited < 100; waited += 25) {
      await stage.advance(25);
      await tunnel.renew(two, lease.fencingToken);
    }
    await wellFor(60, one);
    await failback();
    expect(await isRequested()).toBe(false);
    await wellFor(130, one);
    await failback();
    expect(await isRequested()).toBe(true);
    expect((await tunnel.events()).at(-1)).toMatchObject({
      action: 'vpn_lease.handover_requested',
      actor_type: 'system',
      after: { toNodeId: one.id },
    });
    await failback();
    expect(
      (await tunnel.events()).filter(({ action }) => action === 'vpn_lease.handover_requested'),
    ).toHaveLength(1);
  });

  it('does not take a node for stable that has only just come back, while the clock is behind its record', async () => {
    const lease = await tunnel.held(two);
    created(await policy(120));
    for (let waited = 0; waited < 125; waited += 25) {
      await stage.advance(25);
      await tunnel.renew(two, lease.fencingToken);
    }
    await areSeenWell(one);
    await failback();
    expect(await isRequested()).toBe(false);
  });

  it('is for nobody without the policy, nor for who is not preferred, not well or not eligible', async () => {
    const lease = await tunnel.held(two);
    const long = async () => {
      await stage.advance(20);
      await tunnel.renew(two, lease.fencingToken);
    };
    await wellFor(1_000, one, three);
    await long();
    await failback();
    expect(await isRequested()).toBe(false);
    created(await policy(10));
    await plane.api.post(`${one.assignment}/disable`);
    await failback();
    expect(await isRequested()).toBe(false);
    await plane.api.post(`${one.assignment}/enable`);
    await plane.database.query(
      `UPDATE node_liveness SET last_seen_at = now() - interval '1 day' WHERE node_id = $1`,
      [one.id],
    );
    await failback();
    expect(await isRequested()).toBe(false);
    await plane.api.patch(tunnel.path, { preferredNodeIds: [two.id, one.id] });
    await wellFor(1_000, one);
    await failback();
    expect(await isRequested()).toBe(false);
    await plane.api.patch(tunnel.path, { preferredNodeIds: [one.id, two.id] });
    await plane.api.post(`/clusters/${stage.clusterId}/authority/transitions`, {
      to: 'degraded',
      reason: 'Drill.',
      expectedTerm: 1,
    });
    await failback();
    expect(await isRequested()).toBe(false);
  });
});

describe('many leases that lapse at once', () => {
  const summary = async () => (await plane.api.get(`/clusters/${stage.clusterId}/risky-states`)).body.items;

  it('hold takeovers, and let everybody have back what they had', async () => {
    const tunnels = await several(20, () => stage.connection([one, two, three]));
    for (const each of tunnels) await each.held(one);
    await stage.advance(30);
    const [first, second] = tunnels as [VpnTunnel, VpnTunnel];
    const refused = await first.acquire(two);
    expect(refusal(refused)).toEqual(held);
    expect(refused.body.rule).toBe('no_takeover_hold');
    expect(Number(refused.headers.get('retry-after'))).toBe(90);
    expect((await summary()).map(({ kind }: { kind: string }) => kind)).toContain('mass_lapse_of_leases');
    expect((await first.held(one)).ownerNodeId).toBe(one.id);
    // Nothing is decided by what has lapsed, and health is shown as it is.
    await plane.api.patch(first.path, {
      preferredNodeIds: [two.id],
      failbackPolicy: { mode: 'after_stable_seconds', seconds: 1 },
    });
    await areSeenWell(two);
    await plane.database.query(
      `UPDATE node_health_records SET since = fabric_now() - interval '1 hour' WHERE node_id = $1`,
      [two.id],
    );
    await stage.advance(5);
    await failback();
    expect((await first.active()).body.releaseRequested).toBe(false);
    for (const each of tunnels.slice(1, 12)) await each.held(one);
    await plane.app.get(Jobs).runNow('vpn', 'lease-expiry');
    expect((await summary()).map(({ kind }: { kind: string }) => kind)).not.toContain('mass_lapse_of_leases');
    await stage.advance(85);
    await second.held(two);
  });

  it('are no brake in a small cluster, nor when they are few of many', async () => {
    const tunnels = await several(21, () => stage.connection([one, two]));
    for (const each of tunnels.slice(0, 10)) await each.held(one);
    await stage.advance(15);
    for (const each of tunnels.slice(10)) await each.held(one);
    await stage.advance(15);
    await plane.app.get(Jobs).runNow('vpn', 'lease-expiry');
    await tunnels[0]?.held(two);
    const small = await Promise.all(Array.from({ length: 3 }, () => tunnel.stage.connection([three])));
    for (const each of small) await each.held(three);
  });
});

describe('an explanation', () => {
  const explain = async (node: VpnNode) =>
    created(await plane.api.get(`${tunnel.path}/lease/explain?nodeId=${node.id}`)) as {
      mayAcquire: boolean;
      holdsLease: boolean;
      code: string | null;
      reasons: string[];
      rules: { rule: string; passed: boolean; code: string | null; until: string | null }[];
    };
  const broken = async (node: VpnNode) =>
    (await explain(node)).rules.filter(({ passed }) => !passed).map(({ rule, code }) => [rule, code]);

  it('says what acquire would say, rule by rule', async () => {
    const fine = await explain(one);
    expect(fine).toMatchObject({ mayAcquire: true, holdsLease: false, code: null, reasons: [] });
    expect(fine.rules.map(({ rule }) => rule)).toEqual([
      'not_held_by_another',
      'connection_enabled',
      'member_active',
      'node_allowed',
      'role_effective',
      'cluster_authoritative',
      'no_takeover_hold',
      'no_fence_hold',
      'not_reserved_for_another',
      'no_preferred_node',
      'token_above_seen',
    ]);
    await tunnel.act('fence', { reason: 'x', holdSeconds: 60 });
    await tunnel.act('handover', { toNodeId: three.id });
    await plane.api.post(`${two.assignment}/disable`);
    await plane.api.post(`/clusters/${stage.clusterId}/nodes/${two.id}/disable`);
    expect(await broken(two)).toEqual([
      ['member_active', 'owner_not_eligible'],
      ['role_effective', 'owner_not_eligible'],
      ['no_fence_hold', 'takeover_held'],
      ['not_reserved_for_another', 'takeover_held'],
    ]);
    expect(await explain(two)).toMatchObject({ mayAcquire: false, code: 'owner_not_eligible' });
    expect(refusal(await tunnel.acquire(two))).toEqual({ status: 409, code: 'owner_not_eligible' });
    expect(await broken(one)).toEqual([
      ['no_fence_hold', 'takeover_held'],
      ['not_reserved_for_another', 'takeover_held'],
    ]);
    await stage.advance(60);
    const lease = await tunnel.held(three);
    expect(await explain(three)).toMatchObject({ mayAcquire: true, holdsLease: true, code: null });
    const other = await explain(one);
    expect(other.code).toBe('lease_held');
    expect(other.rules[0]).toMatchObject({ passed: false, until: lease.expiresAt });
    expect((await plane.api.get(`${tunnel.path}/lease/explain`)).status).toBe(400);
  });
});
