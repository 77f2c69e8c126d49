import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Jobs } from '../../src/common/jobs/jobs.js';
import type { Answer } from '../support/api.js';
import { countByStatus } from '../support/applicant.js';
import { type ControlPlane, startControlPlane } from '../support/control-plane.js';
import { created } from '../support/given.js';
import { migrationOf, testFile } from '../support/publisher.js';
import { RolloutStage, type ToldUpdate, type UpdatingNode } from '../support/rollouts/stage.js';
import { VpnStage, type VpnTunnel } from '../support/vpn.js';

let plane: ControlPlane;
beforeAll(async () => {
  // A tick that came at the wrong moment would do what the test looks at before.
  plane = await startControlPlane({ config: { role: 'api' } });
});
afterAll(() => plane?.close());

const refusal = ({ status, body: { code } }: Answer) => [status, code];
const told = async (node: UpdatingNode): Promise<ToldUpdate> => {
  const update = await node.told();
  if (update === null) throw new Error('the node is told of no update');
  return update;
};
const explained = async ({ clusterId, publisher }: RolloutStage, { id }: UpdatingNode) =>
  (await plane.api.get(`/clusters/${clusterId}/nodes/${id}/versions/${publisher.product}/explain`)).body;
/** Audit events of a cluster by their action, newest first. */
const eventsOf = async ({ clusterId }: RolloutStage, action: string) =>
  (
    created(await plane.api.get(`/audit/events?clusterId=${clusterId}&action=${action}`)) as {
      items: Answer['body'][];
    }
  ).items;

describe('stable', () => {
  const stableOf = ({ clusterId, publisher }: RolloutStage) =>
    `/clusters/${clusterId}/channels/${publisher.product}/stable`;

  it('takes what a rollout has proved and nothing else, save what it begins with and goes back to', async () => {
    const stage = await RolloutStage.open(plane, 1);
    const stable = stableOf(stage);
    const point = (version: string, query = '') => plane.api.put(`${stable}${query}`, { version });
    expect((await point('1.0.0')).status).toBe(200);
    const refused = await point('2.0.0');
    expect(refusal(refused)).toEqual([409, 'promotion_not_proven']);
    expect(refused.body).toMatchObject({
      missing: 'no_finished_rollout',
      soakedSeconds: null,
      soakSeconds: 0,
    });
    expect(refusal(await point('2.0.0', '?dryRun=true'))).toEqual([409, 'promotion_not_proven']);
    const [told, ...more] = await eventsOf(stage, 'channel.promotion_refused');
    expect(told).toMatchObject({
      outcome: 'failed',
      reason: 'no_finished_rollout',
      after: { version: '2.0.0' },
    });
    expect(more).toEqual([]);
    const id = await stage.started();
    expect(refusal(await point('2.0.0'))).toEqual([409, 'promotion_not_proven']);
    await stage.run();
    expect((await point('2.0.0')).body).toMatchObject({ version: '2.0.0', revision: 2 });
    expect((await stage.decisions(id)).at(-1)).toMatchObject({
      rule: 'promoted_to_stable',
      fromState: 'succeeded',
      toState: 'succeeded',
      inputs: { channel: 'stable', soakSeconds: 0 },
    });
    expect((await point('1.0.0')).status).toBe(200);
    const current = stable.replace('/stable', '/current');
    await stage.publisher.release('3.0.0');
    expect((await plane.api.put(current, { version: '3.0.0' })).status).toBe(200);
  });

  it('waits for the soak that the policy asks for, and for nothing where it asks for nothing', async () => {
    const stage = await RolloutStage.open(plane, 1);
    const stable = stableOf(stage);
    const policy = (stablePromotion: Record<string, unknown>) =>
      plane.api.put(`/clusters/${stage.clusterId}/policy`, { stablePromotion });
    created(await plane.api.put(stable, { version: '1.0.0' }));
    created(await policy({ soakSeconds: 3_600 }));
    const id = await stage.started();
    await stage.run();
    const early = await plane.api.put(stable, { version: '2.0.0' });
    expect(refusal(early)).toEqual([409, 'promotion_not_proven']);
    expect(early.body).toMatchObject({ missing: 'soak_not_over', soakSeconds: 3_600 });
    await stage.advance(3_601);
    created(await stage.act(id, 'rollback'));
    expect((await plane.api.put(stable, { version: '2.0.0' })).body.missing).toBe('no_finished_rollout');
    await stage.run();
    created(await policy({ rolloutRequired: false }));
    expect((await plane.api.put(stable, { version: '2.0.0' })).status).toBe(200);
    const { rollouts } = created(await plane.api.get(`/clusters/${stage.clusterId}/summary`)) as {
      rollouts: Record<string, number>;
    };
    expect(rollouts).toMatchObject({ rolled_back: 1, running: 0, draft: 0 });
  });
});

describe('a node that reports', () => {
  it('may fail to prepare as often as the rollout allows, and no more', async () => {
    const stage = await RolloutStage.open(plane, 1);
    const [node] = stage.nodes as [UpdatingNode];
    const id = await stage.started({
      retryBudget: 1,
      failureThresholdPercent: 100,
      successThresholdPercent: 0,
    });
    const update = await told(node);
    for (const state of ['checking', 'downloading']) created(await node.report(update, state));
    expect(created(await node.report(update, 'failed'))).toMatchObject({ state: 'failed', phase: 'offered' });
    expect(await explained(stage, node)).toMatchObject({
      rollout: { assignmentState: 'offered', updateState: 'failed', retriesLeft: 0 },
      notUpdatingBecause: ['It has failed to prepare, and may try again.'],
    });
    expect(await told(node)).toEqual(update);
    created(await node.report(update, 'idle'));
    for (const state of ['checking', 'downloading'])
      created(await node.report(update, state, { attempt: 2 }));
    expect(created(await node.report(update, 'failed', { attempt: 2 }))).toMatchObject({ phase: null });
    expect((await stage.rollout(id)).waves[0].counts).toEqual({ failed: 1 });
  });

  it('may try again after it was let go, and waits for a slot once more', async () => {
    const stage = await RolloutStage.open(plane, 2);
    const [first, second] = stage.nodes as [UpdatingNode, UpdatingNode];
    const id = await stage.started({ retryBudget: 1 });
    const [one, two] = [await told(first), await told(second)];
    expect(await first.prepare(one)).toBe(true);
    expect(await second.prepare(two)).toBe(false);
    expect(created(await first.report(one, 'failed'))).toMatchObject({ phase: 'offered' });
    await stage.tick();
    expect(await told(second)).toMatchObject({ phase: 'granted' });
    created(await first.report(one, 'idle'));
    for (const state of ['checking', 'downloading', 'verifying', 'staging'])
      created(await first.report(one, state, { attempt: 2 }));
    expect(await told(first)).toMatchObject({ phase: 'offered' });
    await second.change(two);
    await stage.tick();
    expect(await told(first)).toMatchObject({ phase: 'granted' });
    for (const state of ['starting', 'health_checking', 'promoting', 'running'])
      created(await first.report(one, state, { attempt: 2 }));
    await stage.tick();
    expect((await stage.rollout(id)).state).toBe('succeeded');
  });

  it('was lost and written off, and is part of the next rollout', async () => {
    const stage = await RolloutStage.open(plane, 1);
    const [node] = stage.nodes as [UpdatingNode];
    const id = await stage.started({ nodeDeadlineSeconds: 60 });
    const update = await told(node);
    expect(await node.prepare(update)).toBe(true);
    await stage.advance(61);
    await stage.tick();
    expect(await explained(stage, node)).toMatchObject({
      desired: { version: '2.0.0', rule: 'granted' },
      notUpdatingBecause: expect.arrayContaining(['It is out of service and silent.']),
    });
    created(await stage.act(id, `nodes/${node.id}/write-off`, { reason: 'Its disk was replaced.' }));
    expect(await node.told()).toBeNull();
    expect(await explained(stage, node)).toMatchObject({
      desired: { version: null, rule: 'none' },
      rollout: { assignmentState: 'lost', phase: null },
      notUpdatingBecause: expect.arrayContaining(['It was written off in this rollout.']),
    });
    created(await stage.act(id, 'cancel'));
    await stage.started();
    await stage.run();
    expect(node.installed).toBe('2.0.0');
  });

  it('leaves one event for all the impossible things that it says in a minute', async () => {
    const stage = await RolloutStage.open(plane, 1);
    const [node] = stage.nodes as [UpdatingNode];
    const id = await stage.started();
    const update = await told(node);
    const lies = await Promise.all(Array.from({ length: 20 }, () => node.report(update, 'running')));
    expect(countByStatus(lies)).toEqual({ 422: 20 });
    const recorded = await eventsOf(stage, 'rollout.report_refused');
    expect(recorded).toHaveLength(1);
    expect(recorded[0]).toMatchObject({
      outcome: 'failed',
      reason: 'invalid_transition',
      actor: { type: 'node', id: node.id },
      resource: { type: 'rollout', id },
      after: { nodeId: node.id, state: 'idle', reported: 'running', refusedReports: 1 },
    });
    await stage.advance(61);
    expect((await node.report(update, 'promoting')).status).toBe(422);
    const [again] = await eventsOf(stage, 'rollout.report_refused');
    expect(again?.after).toMatchObject({ reported: 'promoting', refusedReports: 21 });
    expect((await node.report(update, 'checking')).status).toBe(200);
  });
});

describe('a node that holds a VPN lease', () => {
  /** Exits that may hold one connection, which the first of them holds. */
  async function exits(count: number) {
    const stage = await RolloutStage.open(plane, count, ['can_run_vpn_exit']);
    for (const { id: nodeId } of stage.nodes)
      created(
        await plane.api.post(`/clusters/${stage.clusterId}/role-assignments`, { nodeId, role: 'vpn-exit' }),
      );
    const nodes = stage.nodes as [UpdatingNode, UpdatingNode];
    const allowed = nodes.map((node) => ({ ...node, id: node.id, agent: node.api }));
    const tunnel = await VpnStage.of(plane, stage.clusterId).connection(allowed as never);
    const { fencingToken } = await tunnel.held({ agent: nodes[0].api });
    return { stage, nodes, tunnel, fencingToken };
  }
  const handOver = () => plane.app.get(Jobs).runNow('rollouts', 'lease-handovers');
  const reservations = async (tunnel: VpnTunnel) =>
    (await tunnel.events()).filter(({ action }) => action === 'vpn_lease.handover_requested');
  const rulesOf = async (stage: RolloutStage, id: string) =>
    (await stage.decisions(id)).map(({ rule }) => rule).filter((rule: string) => rule.startsWith('vpn_'));

  it('goes out of service when a candidate has taken it, and no candidate goes meanwhile', async () => {
    const { stage, nodes, tunnel, fencingToken } = await exits(2);
    const [owner, other] = nodes;
    const id = await stage.started({ maxUnavailable: 2 });
    const [first, second] = [await told(owner), await told(other)];
    expect(await owner.prepare(first)).toBe(false);
    await handOver();
    expect(await other.prepare(second)).toBe(false);
    await stage.tick();
    expect([(await told(owner)).phase, (await told(other)).phase]).toEqual(['offered', 'offered']);
    expect(await reservations(tunnel)).toMatchObject([
      { actor_type: 'system', after: { toNodeId: other.id } },
    ]);
    const path = `/clusters/${stage.clusterId}/nodes/${owner.id}/versions/${stage.publisher.product}/explain`;
    expect((await plane.api.get(path)).body).toMatchObject({
      rollout: { assignmentState: 'offered', assignmentReason: 'vpn_lease_handover' },
      notUpdatingBecause: ['It holds a VPN lease, or is to take one, and goes when another node has it.'],
    });
    expect((await tunnel.renew({ agent: owner.api }, fencingToken)).body.releaseRequested).toBe(true);
    created(await tunnel.release({ agent: owner.api }, fencingToken));
    const taken = await tunnel.held({ agent: other.api });
    await stage.tick();
    expect([(await told(owner)).phase, (await told(other)).phase]).toEqual(['granted', 'offered']);
    // The only one who could take it back is out of service.
    await handOver();
    expect(await reservations(tunnel)).toHaveLength(1);
    await owner.change(first);
    await handOver();
    expect((await reservations(tunnel)).at(-1)).toMatchObject({ after: { toNodeId: owner.id } });
    created(await tunnel.release({ agent: other.api }, taken.fencingToken));
    await tunnel.held({ agent: owner.api });
    await stage.tick();
    await other.change(await told(other));
    await stage.tick();
    expect((await stage.rollout(id)).state).toBe('succeeded');
    expect(await rulesOf(stage, id)).toEqual(['vpn_lease_handover', 'vpn_lease_handover']);
  });

  it('goes at once where nobody else could have it, and the decision says so', async () => {
    const { stage, nodes } = await exits(1);
    const id = await stage.started();
    const update = await told(nodes[0]);
    expect(await nodes[0].prepare(update)).toBe(false);
    await handOver();
    await stage.tick();
    expect((await told(nodes[0])).phase).toBe('granted');
    expect(await rulesOf(stage, id)).toEqual(['vpn_lease_handover', 'vpn_lease_no_candidate']);
    const { items } = created(await plane.api.get(`${stage.path}/${id}/nodes`)) as {
      items: Answer['body'][];
    };
    expect(items[0]).toMatchObject({ state: 'granted', stateReason: 'vpn_lease_no_candidate' });
  });

  it('does not wait for ever for a candidate that does not come', async () => {
    const { stage, nodes, tunnel, fencingToken } = await exits(2);
    const [owner] = nodes;
    const id = await stage.started({}, { selector: { nodeIds: [owner.id] } });
    expect(await owner.prepare(await told(owner))).toBe(false);
    await handOver();
    for (const seconds of [15, 29]) {
      await stage.advance(seconds);
      created(await tunnel.renew({ agent: owner.api }, fencingToken));
      await stage.tick();
      expect((await told(owner)).phase).toBe('offered');
    }
    await stage.advance(17);
    await stage.tick();
    expect((await told(owner)).phase).toBe('granted');
    expect(await rulesOf(stage, id)).toEqual(['vpn_lease_handover', 'vpn_lease_handover_overdue']);
  });
});

describe('a pin', () => {
  const pinOf = ({ clusterId, publisher }: RolloutStage, { id }: UpdatingNode) =>
    `/clusters/${clusterId}/nodes/${id}/pins/${publisher.product}`;
  const pin = (stage: RolloutStage, node: UpdatingNode, version: string) =>
    plane.api.put(pinOf(stage, node), { version, reason: 'A driver needs it.' });
  const rolloutsOf = async (stage: RolloutStage) =>
    (created(await plane.api.get(stage.path)) as { items: Answer['body'][] }).items;

  it('brings its node to the version, one node at a time, and proves nothing to stable', async () => {
    const stage = await RolloutStage.open(plane, 2);
    const [one, other] = stage.nodes as [UpdatingNode, UpdatingNode];
    for (const node of stage.nodes) created(await pin(stage, node, '2.0.0'));
    created(await pin(stage, one, '2.0.0'));
    await stage.tick();
    const updates = [await told(one), await told(other)] as const;
    const granted = [await one.prepare(updates[0]), await other.prepare(updates[1])];
    expect(granted).toEqual([true, false]);
    await one.change(updates[0]);
    await stage.run();
    expect(stage.nodes.map(({ installed }) => installed)).toEqual(['2.0.0', '2.0.0']);
    expect((await rolloutsOf(stage)).map(({ kind, state }) => [kind, state])).toEqual([
      ['pin', 'succeeded'],
      ['pin', 'succeeded'],
    ]);
    const stable = `/clusters/${stage.clusterId}/channels/${stage.publisher.product}/stable`;
    created(await plane.api.put(stable, { version: '1.0.0' }));
    expect(refusal(await plane.api.put(stable, { version: '2.0.0' }))).toEqual([409, 'promotion_not_proven']);
    created(await plane.api.post(stage.publisher.path('2.0.0', '/block'), { reason: 'Loses data.' }));
    await stage.run();
    expect(stage.nodes.map(({ installed }) => installed)).toEqual(['1.0.0', '1.0.0']);
  });

  it('leads its node beside a rollout by the slots of that, and lets go of it when it is removed', async () => {
    const stage = await RolloutStage.open(plane, 3);
    const [one, other, third] = stage.nodes as [UpdatingNode, UpdatingNode, UpdatingNode];
    await stage.publisher.release('3.0.0');
    const id = await stage.started({}, { targetVersion: '3.0.0' });
    const update = await told(third);
    expect(await third.prepare(update)).toBe(true);
    for (const node of [one, other]) created(await pin(stage, node, '2.0.0'));
    await stage.tick();
    const pinned = await told(one);
    expect(pinned.toVersion).toBe('2.0.0');
    expect(await one.prepare(pinned)).toBe(false);
    expect((await plane.api.delete(pinOf(stage, other))).status).toBe(204);
    expect(await other.told()).toBeNull();
    await third.change(update);
    await stage.run();
    expect(stage.nodes.map(({ installed }) => installed)).toEqual(['2.0.0', '1.0.0', '3.0.0']);
    expect((await stage.rollout(id)).waves[0].counts).toEqual({ ok: 1, skipped: 2 });
    expect((await rolloutsOf(stage)).map(({ kind, state }) => `${kind} ${state}`).sort()).toEqual([
      'pin cancelled',
      'pin succeeded',
      'staged succeeded',
    ]);
  });

  it('has its node to itself: a rollout to the same version leaves it out, planned before it or after', async () => {
    const stage = await RolloutStage.open(plane, 2);
    const [pinned, other] = stage.nodes as [UpdatingNode, UpdatingNode];
    const before = await stage.draft();
    created(await pin(stage, pinned, '2.0.0'));
    const after = await stage.draft();
    expect((await stage.rollout(after)).waves[0].counts).toEqual({ planned: 1 });
    created(await stage.act(before, 'start'));
    expect((await stage.rollout(before)).waves[0].counts).toEqual({ offered: 1, skipped: 1 });
    await stage.run();
    expect([pinned.installed, other.installed]).toEqual(['2.0.0', '2.0.0']);
    expect(await explained(stage, pinned)).toMatchObject({ desired: { version: '2.0.0', rule: 'node_pin' } });
    const ways = await plane.database.query(
      `SELECT r.kind, a.state, a.state_reason FROM rollout_assignments AS a JOIN rollouts AS r ON r.id = a.rollout_id
        WHERE a.node_id = $1 AND r.state <> 'draft' ORDER BY r.kind`,
      [pinned.id],
    );
    expect(ways).toEqual([
      { kind: 'pin', state: 'ok', state_reason: null },
      { kind: 'staged', state: 'skipped', state_reason: 'pinned' },
    ]);
  });

  it('waits for the approvals that every rollout needs', async () => {
    const stage = await RolloutStage.open(plane, 1);
    const [node] = stage.nodes as [UpdatingNode];
    created(await plane.api.put(`/clusters/${stage.clusterId}/policy`, { rolloutApprovals: 1 }));
    created(await pin(stage, node, '2.0.0'));
    await stage.tick();
    expect(await node.told()).toBeNull();
    const [made] = await rolloutsOf(stage);
    expect(made).toMatchObject({ kind: 'pin', state: 'pending_approval' });
    expect(await explained(stage, node)).toMatchObject({
      desired: { version: '2.0.0', rule: 'node_pin' },
      rollout: { kind: 'pin', state: 'pending_approval' },
      notUpdatingBecause: ['Its rollout has not begun.'],
    });
    expect(refusal(await stage.act(made?.id, 'approve'))).toEqual([403, 'author_may_not_approve']);
    const { token } = created(
      await plane.api.post('/api-tokens', { name: 'approver', role: 'platform-operator' }),
    ) as { token: string };
    created(await plane.api.as(token).post(`${stage.path}/${made?.id}/approve`));
    await stage.tick();
    expect((await told(node)).toVersion).toBe('2.0.0');
    expect(await explained(stage, node)).toMatchObject({
      rollout: { kind: 'pin', assignmentState: 'offered' },
      notUpdatingBecause: ['It prepares, or waits for a slot.'],
    });
  });

  it('is no way past an approval, a block, a floor, or a migration that cannot be undone', async () => {
    const stage = await RolloutStage.open(plane, 1);
    const [node] = stage.nodes as [UpdatingNode];
    const { publisher } = stage;
    await publisher.publish('2.5.0', testFile());
    expect(refusal(await pin(stage, node, '2.5.0'))).toEqual([409, 'release_not_approved']);
    const migrations = [migrationOf(testFile(), { downgradePossible: false, rollback: 'none' })];
    await publisher.release('3.0.0', { compatibility: { fromVersions: ['>=2.0.0'] }, migrations });
    await publisher.release('4.0.0', { compatibility: { fromVersions: ['>=3.0.0'] } });
    created(await pin(stage, node, '4.0.0'));
    const way = [];
    for (const _ of [1, 2, 3]) {
      await stage.tick();
      const update = await told(node);
      way.push(update.toVersion);
      expect(await node.prepare(update)).toBe(true);
      await node.change(update);
    }
    expect(way).toEqual(['2.0.0', '3.0.0', '4.0.0']);

    created(await pin(stage, node, '1.0.0'));
    await stage.tick();
    expect(await node.told()).toBeNull();
    expect(await explained(stage, node)).toMatchObject({
      desired: { version: null, rule: 'node_pin', reason: 'downgrade_not_possible' },
    });
    await publisher.release('5.0.0');
    created(await pin(stage, node, '5.0.0'));
    await stage.tick();
    const last = await told(node);
    created(await plane.api.post(publisher.path('5.0.0', '/block'), { reason: 'Loses data.' }));
    await stage.tick();
    expect(await node.told()).toBeNull();
    expect((await node.report(last, 'checking')).status).not.toBe(200);
    expect(await explained(stage, node)).toMatchObject({
      desired: { version: null, rule: 'node_pin', reason: 'release_blocked' },
    });
    expect(node.installed).toBe('4.0.0');
  });

  it('keeps its node where it is, though the rollout that led it there is taken back, until it is removed', async () => {
    const stage = await RolloutStage.open(plane, 2);
    const [pinned, other] = stage.nodes as [UpdatingNode, UpdatingNode];
    const id = await stage.started();
    await stage.run();
    created(await pin(stage, pinned, '2.0.0'));
    created(await stage.act(id, 'rollback'));
    await stage.run();
    expect([pinned.installed, other.installed]).toEqual(['2.0.0', '1.0.0']);
    expect((await stage.rollout(id)).state).toBe('rolling_back');
    expect(await explained(stage, pinned)).toMatchObject({
      desired: { version: '2.0.0', rule: 'node_pin' },
      notUpdatingBecause: [],
    });
    expect((await plane.api.delete(pinOf(stage, pinned))).status).toBe(204);
    await stage.run();
    expect(pinned.installed).toBe('1.0.0');
    expect((await stage.rollout(id)).state).toBe('rolled_back');
  });

  it('takes back what a rollback has offered its node, and lets it go from a version that is blocked', async () => {
    const stage = await RolloutStage.open(plane, 1);
    const [node] = stage.nodes as [UpdatingNode];
    const id = await stage.started();
    await stage.run();
    created(await stage.act(id, 'rollback'));
    const back = await told(node);
    created(await pin(stage, node, '2.0.0'));
    expect(await node.told()).toBeNull();
    expect(await node.prepare(back)).toBe(false);
    created(await plane.api.post(stage.publisher.path('2.0.0', '/block'), { reason: 'Loses data.' }));
    await stage.run();
    expect(node.installed).toBe('1.0.0');
    expect((await stage.rollout(id)).state).toBe('rolled_back');
  });

  it('takes back the way of the pin before it, also where a rollout has brought the node there already', async () => {
    const stage = await RolloutStage.open(plane, 2);
    const [node] = stage.nodes as [UpdatingNode];
    await stage.publisher.release('3.0.0');
    await stage.started({ maxUnavailable: 2 });
    const update = await told(node);
    expect(await node.prepare(update)).toBe(true);
    await node.change(update);
    const repin = async (version: string, etag: string | null) =>
      plane.api.put(
        pinOf(stage, node),
        { version, reason: 'A driver needs it.' },
        etag === null ? {} : { 'if-match': etag },
      );
    const first = await repin('3.0.0', null);
    created(first);
    await stage.tick();
    expect((await told(node)).toVersion).toBe('3.0.0');
    created(await repin('2.0.0', first.headers.get('etag')));
    expect(await node.told()).toBeNull();
    await stage.run();
    expect(node.installed).toBe('2.0.0');
  });

  it('stops its node at the stop to which it is on its way', async () => {
    const stage = await RolloutStage.open(plane, 1);
    const [node] = stage.nodes as [UpdatingNode];
    await stage.publisher.release('3.0.0', { compatibility: { fromVersions: ['>=2.0.0'] } });
    const id = await stage.started({}, { targetVersion: '3.0.0' });
    const stop = await told(node);
    expect(await node.prepare(stop)).toBe(true);
    created(await pin(stage, node, '2.0.0'));
    await node.change(stop);
    expect(await node.told()).toBeNull();
    await stage.run();
    expect(node.installed).toBe('2.0.0');
    expect((await stage.rollout(id)).waves[0].counts).toEqual({ skipped: 1 });
  });

  it('leads nowhere when it has expired before it was approved', async () => {
    const stage = await RolloutStage.open(plane, 1);
    const [node] = stage.nodes as [UpdatingNode];
    created(await plane.api.put(`/clusters/${stage.clusterId}/policy`, { rolloutApprovals: 1 }));
    const [row] = await plane.database.query<{ now: Date }>('SELECT fabric_now() AS now');
    const expiresAt = new Date((row?.now.getTime() ?? 0) + 60_000).toISOString();
    created(await plane.api.put(pinOf(stage, node), { version: '2.0.0', reason: 'For now.', expiresAt }));
    const [made] = await rolloutsOf(stage);
    await stage.advance(61);
    const again = await plane.api.put(pinOf(stage, node), {
      version: '1.0.0',
      reason: 'For now.',
      expiresAt,
    });
    expect([again.status, again.body.errors?.[0]?.pointer]).toEqual([422, '#/expiresAt']);
    const { token } = created(
      await plane.api.post('/api-tokens', { name: 'late', role: 'platform-operator' }),
    ) as { token: string };
    created(await plane.api.as(token).post(`${stage.path}/${made?.id}/approve`));
    await stage.tick();
    expect((await stage.rollout(made?.id)).state).toBe('cancelled');
    expect(await node.told()).toBeNull();
  });
});

describe('a version that is blocked while nodes prepare it', () => {
  const put = async (stage: RolloutStage, version: string, verb: 'block' | 'unblock') =>
    created(
      await plane.api.post(
        stage.publisher.path(version, `/${verb}`),
        verb === 'block' ? { reason: 'Loses data.' } : undefined,
      ),
    );

  it('is taken back from them though it cannot be undone, and is offered again when it is unblocked', async () => {
    const stage = await RolloutStage.open(plane, 2);
    const migrations = [migrationOf(testFile(), { downgradePossible: false, rollback: 'none' })];
    await stage.publisher.release('3.0.0', { migrations });
    const id = await stage.started({ maxUnavailable: 1 }, { targetVersion: '3.0.0' });
    const [one, other] = stage.nodes as [UpdatingNode, UpdatingNode];
    const updates = [await told(one), await told(other)];
    expect(await one.prepare(updates[0] as ToldUpdate)).toBe(true);
    await put(stage, '3.0.0', 'block');
    expect(await stage.rollout(id)).toMatchObject({ state: 'paused', stateReason: 'blocked' });
    // The one has its slot: it may be out of service already.
    expect((await told(one)).phase).toBe('granted');
    expect(await other.told()).toBeNull();
    expect(await other.prepare(updates[1] as ToldUpdate)).toBe(false);
    await put(stage, '3.0.0', 'unblock');
    const { pausedByDecisionId } = await stage.rollout(id);
    created(await stage.act(id, 'resume', { acknowledge: pausedByDecisionId }));
    expect(await told(other)).toMatchObject({ assignmentId: updates[1]?.assignmentId, phase: 'offered' });
    await stage.run();
    expect((await stage.rollout(id)).state).toBe('succeeded');
  });

  it('is why a rollout that somebody has paused does not go on, until it is unblocked', async () => {
    const stage = await RolloutStage.open(plane, 1);
    const migrations = [migrationOf(testFile(), { downgradePossible: false, rollback: 'none' })];
    await stage.publisher.release('3.0.0', { migrations });
    const id = await stage.started({}, { targetVersion: '3.0.0' });
    created(await stage.act(id, 'pause'));
    await put(stage, '3.0.0', 'block');
    const paused = await stage.rollout(id);
    expect(paused).toMatchObject({ state: 'paused', stateReason: 'blocked' });
    const acknowledge = paused.pausedByDecisionId;
    expect((await stage.decisions(id)).find((decision) => decision.id === acknowledge)).toMatchObject({
      ...{ rule: 'version_blocked', fromState: 'paused', toState: 'paused', reason: 'blocked' },
    });
    expect(refusal(await stage.act(id, 'resume', { acknowledge }))).toEqual([409, 'release_blocked']);
    await put(stage, '3.0.0', 'unblock');
    expect((await stage.act(id, 'resume')).body.state).toBe('running');
  });

  it('is taken back from them where it is only a stop on their way', async () => {
    const stage = await RolloutStage.open(plane, 1);
    await stage.publisher.release('3.0.0', { compatibility: { fromVersions: ['>=2.0.0'] } });
    const id = await stage.started({}, { targetVersion: '3.0.0' });
    const [node] = stage.nodes as [UpdatingNode];
    const update = await told(node);
    expect(update.toVersion).toBe('2.0.0');
    await put(stage, '2.0.0', 'block');
    expect(await node.told()).toBeNull();
    expect(await node.prepare(update)).toBe(false);
    await put(stage, '2.0.0', 'unblock');
    await stage.run();
    expect([(await stage.rollout(id)).state, node.installed]).toEqual(['succeeded', '3.0.0']);
  });
});

describe('a version that is blocked after its rollout', () => {
  it('stays where its migration cannot be undone, and the decision says so', async () => {
    const stage = await RolloutStage.open(plane, 1);
    const bundle = testFile();
    const migrations = [migrationOf(bundle, { downgradePossible: false, rollback: 'none' })];
    await stage.publisher.release('3.0.0', { migrations });
    const id = await stage.started({}, { targetVersion: '3.0.0' });
    await stage.run();
    created(await plane.api.post(stage.publisher.path('3.0.0', '/block'), { reason: 'Loses data.' }));
    await stage.tick();
    expect((await stage.rollout(id)).state).toBe('succeeded');
    expect(await stage.nodes[0]?.told()).toBeNull();
    expect((await stage.decisions(id)).at(-1)).toMatchObject({
      rule: 'version_blocked',
      reason: 'irreversible_migration',
      toState: 'succeeded',
    });
  });
});

describe('a rollout that cannot lead its nodes back', () => {
  const stop = async (stage: RolloutStage, version: string, verb: 'block' | 'unblock') =>
    created(
      await plane.api.post(
        stage.publisher.path(version, `/${verb}`),
        verb === 'block' ? { reason: 'Loses data.' } : undefined,
      ),
    );
  const stalled = async (stage: RolloutStage, id: string, reason: string) =>
    expect(await stage.rollout(id)).toMatchObject({ state: 'rollback_stalled', stateReason: reason });
  const versionsOf = ({ nodes }: RolloutStage) => nodes.map(({ installed }) => installed);
  /** Both nodes have come to 2.0.0. */
  async function arrived(strategy: Record<string, unknown> = {}): Promise<[RolloutStage, string]> {
    const stage = await RolloutStage.open(plane, 2);
    const id = await stage.started({ maxUnavailable: 2, ...strategy });
    await stage.run();
    return [stage, id];
  }

  it('stalls where they have nowhere to go, and goes on once that is unblocked', async () => {
    const [stage, id] = await arrived();
    await stop(stage, '1.0.0', 'block');
    created(await stage.act(id, 'rollback'));
    await stalled(stage, id, 'last_known_good_missing');
    expect(refusal(await stage.act(id, 'cancel'))).toEqual([409, 'rollout_state_conflict']);
    created(await stage.act(id, 'rollback'));
    await stalled(stage, id, 'last_known_good_missing');
    await stop(stage, '1.0.0', 'unblock');
    created(await stage.act(id, 'rollback'));
    await stage.run();
    expect((await stage.rollout(id)).state).toBe('rolled_back');
    expect(versionsOf(stage)).toEqual(['1.0.0', '1.0.0']);
  });

  it('stalls as soon as the version is blocked to which they were to go back, and nobody is on the way there', async () => {
    const [stage, id] = await arrived();
    const [going, waiting] = stage.nodes as [UpdatingNode, UpdatingNode];
    created(await stage.act(id, 'rollback'));
    const update = await told(going);
    expect(await going.prepare(update)).toBe(true);
    await stop(stage, '1.0.0', 'block');
    expect(await waiting.told()).toBeNull();
    expect((await stage.rollout(id)).state).toBe('rolling_back');
    await going.change(update);
    await stalled(stage, id, 'last_known_good_missing');
    expect((await stage.decisions(id)).at(-1)).toMatchObject({
      rule: 'last_known_good_missing',
      fromState: 'rolling_back',
      toState: 'rollback_stalled',
    });
    await stop(stage, '1.0.0', 'unblock');
    created(await stage.act(id, 'rollback'));
    await stage.run();
    expect((await stage.rollout(id)).state).toBe('rolled_back');
    expect(versionsOf(stage)).toEqual(['1.0.0', '1.0.0']);
  });

  it('holds up no rollout to a better version, after which nobody has to go back', async () => {
    const [stage, id] = await arrived();
    await stop(stage, '1.0.0', 'block');
    created(await stage.act(id, 'rollback'));
    await stalled(stage, id, 'last_known_good_missing');
    await stage.publisher.release('3.0.0');
    const next = await stage.started({ maxUnavailable: 2 }, { targetVersion: '3.0.0' });
    await stage.run();
    expect((await stage.rollout(next)).state).toBe('succeeded');
    expect(versionsOf(stage)).toEqual(['3.0.0', '3.0.0']);
    created(await stage.act(id, 'rollback'));
    expect((await stage.rollout(id)).state).toBe('rolled_back');
    expect(versionsOf(stage)).toEqual(['3.0.0', '3.0.0']);
  });

  it('leads a node anew whose way back has failed, and one that is lost no more once it is written off', async () => {
    const [stage, id] = await arrived({ progressDeadlineSeconds: 600, nodeDeadlineSeconds: 60 });
    const [failing, silent] = stage.nodes as [UpdatingNode, UpdatingNode];
    created(await stage.act(id, 'rollback'));
    const [first, second] = [await told(failing), await told(silent)];
    for (const state of ['checking', 'downloading', 'failed']) created(await failing.report(first, state));
    expect(await silent.prepare(second)).toBe(true);
    created(await silent.report(second, 'starting'));
    for (const seconds of [61, 601]) {
      await stage.advance(seconds);
      await stage.tick();
    }
    await stalled(stage, id, 'progress_deadline');
    created(await stage.act(id, `nodes/${silent.id}/write-off`, { reason: 'Burnt down.' }));
    expect(refusal(await silent.report(second, 'health_checking'))).toEqual([409, 'stale_report']);
    created(await stage.act(id, 'rollback'));
    const again = await told(failing);
    expect(again).toMatchObject({ toVersion: '1.0.0', phase: 'offered' });
    expect(again.epoch).toBeGreaterThan(first.epoch);
    expect(await silent.told()).toBeNull();
    await stage.run();
    expect((await stage.rollout(id)).state).toBe('rolled_back');
    expect(versionsOf(stage)).toEqual(['1.0.0', '2.0.0']);
  });

  it('is known for what it is beforehand, also where only a stop on the way cannot be undone', async () => {
    const stage = await RolloutStage.open(plane, 1);
    const [node] = stage.nodes as [UpdatingNode];
    const migrations = [migrationOf(testFile(), { downgradePossible: false, rollback: 'none' })];
    await stage.publisher.release('3.0.0', { compatibility: { fromVersions: ['>=2.0.0'] }, migrations });
    await stage.publisher.release('4.0.0', { compatibility: { fromVersions: ['>=3.0.0'] } });
    const id = await stage.started({ autoRollback: true }, { targetVersion: '4.0.0' });
    expect((await stage.rollout(id)).downgradePossible).toBe(false);
    await stage.run((_, { toVersion }) => toVersion === '4.0.0');
    expect(node.installed).toBe('3.0.0');
    expect(await stage.rollout(id)).toMatchObject({ state: 'paused', stateReason: 'irreversible_migration' });
    expect(refusal(await stage.act(id, 'rollback'))).toEqual([409, 'downgrade_not_possible']);
  });

  it('is known for what it is once a node has to go by a stop that cannot be undone, since another is blocked', async () => {
    const stage = await RolloutStage.open(plane, 1);
    const [node] = stage.nodes as [UpdatingNode];
    const migrations = [migrationOf(testFile(), { downgradePossible: false, rollback: 'none' })];
    const from = (version: string) => ({ compatibility: { fromVersions: [`>=${version}`] } });
    await stage.publisher.release('3.0.0', { ...from('2.0.0'), migrations });
    await stage.publisher.release('3.1.0', from('2.0.0'));
    await stage.publisher.release('4.0.0', from('3.0.0'));
    const id = await stage.started({}, { targetVersion: '4.0.0' });
    expect((await stage.rollout(id)).downgradePossible).toBe(true);
    const update = await told(node);
    expect(update.toVersion).toBe('2.0.0');
    expect(await node.prepare(update)).toBe(true);
    created(await plane.api.post(stage.publisher.path('3.1.0', '/block'), { reason: 'Loses data.' }));
    await node.change(update);
    await stage.tick();
    expect((await told(node)).toVersion).toBe('3.0.0');
    expect((await stage.rollout(id)).downgradePossible).toBe(false);
    expect(refusal(await stage.act(id, 'rollback'))).toEqual([409, 'downgrade_not_possible']);
  });

  it('leaves a node fenced that could not get back, and the next rollout takes it up when it is no more', async () => {
    const stage = await RolloutStage.open(plane, 2);
    const migrations = [migrationOf(testFile(), { downgradePossible: false, rollback: 'none' })];
    await stage.publisher.release('3.0.0', { migrations });
    const terms = { maxUnavailable: 2, successThresholdPercent: 50 };
    const id = await stage.started(terms, { targetVersion: '3.0.0' });
    const [fenced, other] = stage.nodes as [UpdatingNode, UpdatingNode];
    const update = await told(fenced);
    expect(await fenced.prepare(update)).toBe(true);
    for (const state of ['migrating', 'rollback_required', 'fenced'])
      created(await fenced.report(update, state));
    const paused = await stage.rollout(id);
    expect(paused).toMatchObject({ state: 'paused', stateReason: 'error_threshold' });
    expect(refusal(await stage.act(id, 'rollback'))).toEqual([409, 'downgrade_not_possible']);
    expect(refusal(await stage.act(id, 'resume'))).toEqual([409, 'acknowledgement_required']);
    created(await stage.act(id, 'resume', { acknowledge: paused.pausedByDecisionId }));
    await stage.run();
    expect((await stage.rollout(id)).state).toBe('succeeded');
    expect(other.installed).toBe('3.0.0');

    await stage.publisher.release('4.0.0');
    const ofNodes = async (rollout: string) =>
      (created(await plane.api.get(`${stage.path}/${rollout}/nodes`)) as { items: Answer['body'][] }).items;
    const stateIn = async (rollout: string) =>
      (await ofNodes(rollout)).find(({ nodeId }) => nodeId === fenced.id)?.stateReason;
    const without = await stage.draft({}, { targetVersion: '4.0.0' });
    expect(await stateIn(without)).toBe('fenced');
    created(await stage.act(id, `nodes/${fenced.id}/unfence`, { reason: 'The data was looked at.' }));
    const next = await stage.started({ maxUnavailable: 2 }, { targetVersion: '4.0.0' });
    await stage.run();
    expect((await stage.rollout(next)).state).toBe('succeeded');
    expect(versionsOf(stage)).toEqual(['4.0.0', '4.0.0']);
  });
});

/** The clock is set years ahead, beyond that of any machine, and does not come back: these are the last of the file. */
describe('a maintenance window', () => {
  const window = (timeZone: string, from: string, to: string) => ({
    maintenanceWindows: [{ timeZone, from, to }],
    waves: [{ name: 'all', percent: 100 }],
    progressDeadlineSeconds: 2_592_000,
  });
  const isOffered = async (stage: RolloutStage) => (await stage.nodes[0]?.told()) !== null;
  const goTo = (instant: string) =>
    plane.database.query('UPDATE database_clock SET recorded_at = $1', [instant]);
  /** Which of them were offered their update by then. */
  async function offeredAt(instant: string, ...stages: readonly RolloutStage[]): Promise<boolean[]> {
    await goTo(instant);
    await stages[0]?.tick();
    return Promise.all(stages.map(isOffered));
  }

  it('that lies in the hour that summer time leaves out opens a day later, and one that reaches beyond it at its end', async () => {
    await goTo('2036-03-29T12:00:00Z'); // begun at any hour of the day, it would be offered at once in some
    const [inside, beyond] = [await RolloutStage.open(plane, 1), await RolloutStage.open(plane, 2)];
    const ids = [
      await inside.started(window('Europe/Berlin', '02:15', '02:45')),
      await beyond.started(window('Europe/Berlin', '02:30', '03:30')),
    ];
    const at = (instant: string) => offeredAt(instant, inside, beyond);
    // 01:59:59 in winter time, 03:00 and 03:30 in summer time.
    expect(await at('2036-03-30T00:59:59Z')).toEqual([false, false]);
    expect(await at('2036-03-30T01:00:00Z')).toEqual([false, true]);
    const [one, other] = beyond.nodes as [UpdatingNode, UpdatingNode];
    const updates = [await told(one), await told(other)] as const;
    expect(await one.prepare(updates[0])).toBe(true);
    expect(await at('2036-03-30T01:30:00Z')).toEqual([false, true]);
    await one.change(updates[0]);
    expect(await other.prepare(updates[1])).toBe(false);
    expect(await at('2036-03-31T00:14:59Z')).toEqual([false, false]);
    expect(await at('2036-03-31T00:15:00Z')).toEqual([true, false]);
    expect((await told(other)).phase).toBe('offered');
    expect(await at('2036-03-31T00:30:00Z')).toEqual([true, false]);
    expect((await told(other)).phase).toBe('granted');
    await other.change(updates[1]);
    await beyond.tick();
    expect((await beyond.rollout(ids[1] ?? '')).state).toBe('succeeded');
    expect((await inside.rollout(ids[0] ?? '')).state).toBe('running');
  });

  it('that lies in the hour that comes twice opens twice', async () => {
    await goTo('2036-04-05T03:00:00Z');
    const stage = await RolloutStage.open(plane, 2);
    await stage.started(window('Australia/Sydney', '02:15', '02:45'));
    const [one, other] = stage.nodes as [UpdatingNode, UpdatingNode];
    const at = (instant: string) => offeredAt(instant, stage);
    expect(await at('2036-04-05T15:14:59Z')).toEqual([false]);
    expect(await at('2036-04-05T15:15:00Z')).toEqual([true]);
    const updates = [await told(one), await told(other)] as const;
    expect(await one.prepare(updates[0])).toBe(true);
    await at('2036-04-05T15:45:00Z');
    await one.change(updates[0]);
    expect(await other.prepare(updates[1])).toBe(false);
    await at('2036-04-05T16:14:59Z');
    expect((await told(other)).phase).toBe('offered');
    await at('2036-04-05T16:15:00Z');
    expect((await told(other)).phase).toBe('granted');
  });
});
