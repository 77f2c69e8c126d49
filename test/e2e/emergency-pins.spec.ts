import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { Answer, Api } from '../support/api.js';
import { countByStatus } from '../support/applicant.js';
import { type ControlPlane, startControlPlane } from '../support/control-plane.js';
import { created, unique } from '../support/given.js';
import { migrationOf, testFile } from '../support/publisher.js';
import { RolloutStage, type ToldUpdate, UpdatingNode } from '../support/rollouts/stage.js';

let plane: ControlPlane;
beforeAll(async () => {
  // Ticks come when the test says so.
  plane = await startControlPlane({ config: { role: 'api' } });
});
afterAll(() => plane?.close());

const refusal = ({ status, body: { code } }: Answer) => [status, code];
const pathOf = ({ clusterId }: RolloutStage) => `/clusters/${clusterId}/emergency-pins`;

async function inSeconds(seconds: number): Promise<string> {
  const [row] = await plane.database.query<{ at: Date }>(
    'SELECT fabric_now() + make_interval(secs => $1) AS at',
    [seconds],
  );
  return row?.at.toISOString() ?? '';
}

/** The body of an emergency pin of all nodes for an hour, unless the input says otherwise. */
const bodyOf = async ({ publisher }: RolloutStage, more: object = {}) => ({
  product: publisher.product,
  version: '2.0.0',
  scope: { all: true },
  reason: 'Sessions are dropped.',
  expiresAt: await inSeconds(3_600),
  ...more,
});
const pinned = async (
  stage: RolloutStage,
  more: object = {},
  api: Api = plane.api,
): Promise<Answer['body']> =>
  created(await api.post(pathOf(stage), await bodyOf(stage, more))) as Answer['body'];
const read = async (stage: RolloutStage, id: string): Promise<Answer['body']> =>
  created(await plane.api.get(`${pathOf(stage)}/${id}`)) as Answer['body'];
const explained = async ({ clusterId, publisher }: RolloutStage, { id }: UpdatingNode) =>
  (await plane.api.get(`/clusters/${clusterId}/nodes/${id}/versions/${publisher.product}/explain`)).body;
const told = async (node: UpdatingNode): Promise<ToldUpdate> => {
  const update = await node.told();
  if (update === null) throw new Error('the node is told of no update');
  return update;
};
const waysOf = async (stage: RolloutStage, rolloutId: string) => {
  const path = `${stage.path}/${rolloutId}/nodes?limit=200`;
  const { items } = created(await plane.api.get(path)) as { items: Answer['body'][] };
  return new Map(
    items.map(({ nodeId, direction, state, stateReason }) => [
      `${direction} ${nodeId}`,
      [state, stateReason],
    ]),
  );
};
const installed = ({ nodes }: RolloutStage) => nodes.map((node) => node.installed);
/** Somebody else than the author, who may do what is high-risk. */
async function another(): Promise<Api> {
  const input = {
    name: unique('other'),
    role: 'platform-operator',
    highRisk: true,
    expiresInSeconds: 86_400,
  };
  const { token } = created(await plane.api.post('/api-tokens', input)) as { token: string };
  return plane.api.as(token);
}

describe('an emergency pin', () => {
  it('comes before the pin of a node and a rollout, and both take up where they were when it has expired', async () => {
    const stage = await RolloutStage.open(plane, 4);
    const [busy, waiting, outside, kept] = stage.nodes as [
      UpdatingNode,
      UpdatingNode,
      UpdatingNode,
      UpdatingNode,
    ];
    await stage.publisher.release('3.0.0');
    const own = `/clusters/${stage.clusterId}/nodes/${kept.id}/pins/${stage.publisher.product}`;
    created(await plane.api.put(own, { version: '1.0.0', reason: 'A driver needs it.' }));
    const rollout = await stage.started({ maxUnavailable: 2 });
    const begun = await told(busy);
    expect(await busy.prepare(begun)).toBe(true);
    expect((await told(waiting)).toVersion).toBe('2.0.0');

    const scope = { nodeIds: [busy.id, waiting.id, kept.id] };
    const pin = await pinned(stage, { version: '3.0.0', scope });
    expect(pin).toMatchObject({
      status: 'in_force',
      maxUnavailable: 2,
      nodes: {
        covered: 3,
        onVersion: 0,
        waiting: 0,
        inProgress: 2,
        failed: 0,
        deferred: { update_in_progress: 1 },
      },
    });
    const held = await waysOf(stage, rollout);
    expect(held.get(`forward ${waiting.id}`)).toEqual(['deferred', 'emergency_pin']);
    expect(held.get(`forward ${busy.id}`)).toEqual(['granted', null]);
    // What it has begun it finishes, and is told of nothing else before.
    expect(await told(busy)).toMatchObject({ toVersion: '2.0.0', phase: 'granted' });
    expect(await explained(stage, busy)).toMatchObject({
      desired: { wanted: '3.0.0', rule: 'emergency_pin', ruleNumber: 2 },
      emergencyPin: { id: pin.id, reason: 'Sessions are dropped.' },
      rollout: { kind: 'emergency' },
      notUpdatingBecause: ['It has begun another update.'],
    });
    expect((await told(waiting)).toVersion).toBe('3.0.0');
    expect((await explained(stage, kept)).desired).toMatchObject({ version: '3.0.0', rule: 'emergency_pin' });
    expect((await explained(stage, outside)).emergencyPin).toBeNull();

    await busy.change(begun);
    await stage.run();
    expect(installed(stage)).toEqual(['3.0.0', '3.0.0', '2.0.0', '3.0.0']);
    expect((await read(stage, pin.id)).nodes).toMatchObject({ covered: 3, onVersion: 3, deferred: {} });
    expect((await stage.rollout(rollout)).state).toBe('running');

    await stage.advance(3_600);
    // Nobody has written it down, and it is true.
    expect(await read(stage, pin.id)).toMatchObject({ status: 'expired', endedAt: pin.expiresAt });
    expect((await explained(stage, kept)).desired).toMatchObject({ wanted: '1.0.0', rule: 'node_pin' });
    await stage.run();
    expect(installed(stage)).toEqual(['3.0.0', '2.0.0', '2.0.0', '1.0.0']);
    expect((await stage.rollout(rollout)).state).toBe('succeeded');
    expect(await read(stage, pin.id)).toMatchObject({ status: 'expired', rolloutState: 'succeeded' });
    const query = `clusterId=${stage.clusterId}&resourceId=${pin.id}`;
    const { items } = created(await plane.api.get(`/audit/events?${query}`)) as { items: Answer['body'][] };
    expect(items.map(({ action, highRisk }) => [action, highRisk]).reverse()).toEqual([
      ['emergency_pin.created', true],
      ['emergency_pin.activated', true],
      ['emergency_pin.expired', true],
    ]);
  });

  it('grants nothing from the instant at which it expires, before anybody has written that down', async () => {
    const stage = await RolloutStage.open(plane, 1);
    const [node] = stage.nodes as [UpdatingNode];
    await pinned(stage);
    const update = await told(node);
    await stage.advance(3_600);
    expect(await node.prepare(update)).toBe(false);
    await stage.run();
    expect([await node.told(), node.installed]).toEqual([null, '1.0.0']);
  });

  it('outranks a way back, which is over when its node has come to another version', async () => {
    const stage = await RolloutStage.open(plane, 1);
    const [node] = stage.nodes as [UpdatingNode];
    await stage.publisher.release('3.0.0');
    const rollout = await stage.started();
    await stage.run();
    created(await stage.act(rollout, 'rollback'));
    expect((await told(node)).toVersion).toBe('1.0.0');
    await pinned(stage, { version: '3.0.0' });
    expect((await waysOf(stage, rollout)).get(`back ${node.id}`)).toEqual(['planned', 'emergency_pin']);
    expect((await told(node)).toVersion).toBe('3.0.0');
    await stage.run();
    expect(node.installed).toBe('3.0.0');
    expect((await waysOf(stage, rollout)).get(`back ${node.id}`)).toEqual(['cancelled', 'moved_on']);
    expect((await stage.rollout(rollout)).state).toBe('rolled_back');
  });

  it('is ended by a block of its version, and its nodes go back to what they ran well', async () => {
    const stage = await RolloutStage.open(plane, 2);
    const pin = await pinned(stage, { maxUnavailable: 2 });
    await stage.run();
    expect(installed(stage)).toEqual(['2.0.0', '2.0.0']);
    const joined = await UpdatingNode.admit(plane, stage.clusterId, '1.0.0');
    await stage.tick();
    expect([await joined.told(), (await explained(stage, joined)).emergencyPin]).toEqual([null, null]);
    created(await plane.api.post(stage.publisher.path('2.0.0', '/block'), { reason: 'Loses data.' }));
    expect(await read(stage, pin.id)).toMatchObject({ status: 'blocked', rolloutState: 'rolling_back' });
    await stage.run();
    expect(installed(stage)).toEqual(['1.0.0', '1.0.0']);
    expect((await read(stage, pin.id)).rolloutState).toBe('rolled_back');
    expect(refusal(await plane.api.post(pathOf(stage), await bodyOf(stage)))).toEqual([
      409,
      'release_blocked',
    ]);
    expect(refusal(await plane.api.post(`${pathOf(stage)}/${pin.id}/lift`, { reason: 'Over.' }))).toEqual([
      409,
      'emergency_pin_over',
    ]);
  });

  it('is ended with its rollout by a block of its version, also where its nodes cannot go back', async () => {
    const stage = await RolloutStage.open(plane, 2);
    const migrations = [migrationOf(testFile(), { downgradePossible: false, rollback: 'none' })];
    await stage.publisher.release('3.0.0', { migrations });
    const pin = await pinned(stage, { version: '3.0.0', maxUnavailable: 1 });
    const [one, other] = stage.nodes as [UpdatingNode, UpdatingNode];
    const update = await told(one);
    expect(await one.prepare(update)).toBe(true);
    await one.change(update);
    created(await plane.api.post(stage.publisher.path('3.0.0', '/block'), { reason: 'Loses data.' }));
    expect(await read(stage, pin.id)).toMatchObject({ status: 'blocked', rolloutState: 'cancelled' });
    expect(await other.told()).toBeNull();
    created(await plane.api.post(stage.publisher.path('3.0.0', '/unblock')));
    expect(refusal(await stage.act(pin.rolloutId, 'resume'))).toEqual([409, 'rollout_state_conflict']);
    await stage.run();
    expect(installed(stage)).toEqual(['3.0.0', '1.0.0']);
  });

  it('leads nodes within maxUnavailable, those that were away when they are back, and stops at failures', async () => {
    const stage = await RolloutStage.open(plane, 3);
    const [one, other, away] = stage.nodes as [UpdatingNode, UpdatingNode, UpdatingNode];
    await stage.silence(away);
    const pin = await pinned(stage);
    await stage.tick();
    expect((await read(stage, pin.id)).nodes).toMatchObject({ inProgress: 2, deferred: { offline: 1 } });
    const updates = [await told(one), await told(other)] as const;
    expect([await one.prepare(updates[0]), await other.prepare(updates[1])]).toEqual([true, false]);
    await one.failAtHealth(updates[0]);
    await stage.tick();
    const { pausedByDecisionId: acknowledge, state } = await stage.rollout(pin.rolloutId);
    expect(state).toBe('paused');
    expect(await read(stage, pin.id)).toMatchObject({
      status: 'in_force',
      nodes: { failed: 1, inProgress: 1 },
    });
    created(await stage.act(pin.rolloutId, 'resume', { acknowledge }));
    await stage.run();
    await away.beat();
    await stage.run();
    expect(installed(stage)).toEqual(['1.0.0', '2.0.0', '2.0.0']);
    const lifted = created(
      await plane.api.post(`${pathOf(stage)}/${pin.id}/lift`, { reason: 'It was the network.' }),
    );
    expect(lifted).toMatchObject({
      status: 'lifted',
      endReason: 'It was the network.',
      rolloutState: 'cancelled',
      nodes: { covered: 3, onVersion: 2, failed: 1 },
    });
    const rollout = await stage.started();
    expect((await waysOf(stage, rollout)).get(`forward ${one.id}`)).toEqual(['offered', null]);
  });

  it('waits for the approvals that the policy asks for, and decides with the last of them', async () => {
    const stage = await RolloutStage.open(plane, 1);
    const [node] = stage.nodes as [UpdatingNode];
    created(await plane.api.put(`/clusters/${stage.clusterId}/policy`, { rolloutApprovals: 1 }));
    const pin = await pinned(stage);
    expect([pin.status, pin.rolloutState, await node.told()]).toEqual([
      'pending_approval',
      'pending_approval',
      null,
    ]);
    const approvals = `${pathOf(stage)}/${pin.id}/approve`;
    expect(refusal(await plane.api.post(approvals))).toEqual([403, 'author_may_not_approve']);
    const other = await another();
    expect(created(await other.post(approvals))).toMatchObject({ status: 'in_force', approvals: [{}] });
    expect((await told(node)).toVersion).toBe('2.0.0');
    expect(refusal(await other.post(approvals))).toEqual([409, 'rollout_state_conflict']);
    created(await other.post(`${pathOf(stage)}/${pin.id}/lift`, { reason: 'Over.' }));

    const late = await pinned(stage);
    await stage.advance(3_600);
    expect(refusal(await other.post(`${pathOf(stage)}/${late.id}/approve`))).toEqual([
      409,
      'emergency_pin_over',
    ]);
    await stage.tick();
    expect(await read(stage, late.id)).toMatchObject({ status: 'expired', rolloutState: 'cancelled' });
    expect(await node.told()).toBeNull();
  });

  it('explains nothing of its nodes as long as it waits for approvals, and another rollout leads them', async () => {
    const stage = await RolloutStage.open(plane, 1);
    const [node] = stage.nodes as [UpdatingNode];
    await stage.publisher.release('3.0.0');
    const policy = `/clusters/${stage.clusterId}/policy`;
    const rollout = await stage.started();
    created(await plane.api.put(policy, { rolloutApprovals: 1 }));
    await pinned(stage, { version: '3.0.0' });
    expect((await told(node)).toVersion).toBe('2.0.0');
    const by = { rolloutId: rollout, phase: 'offered' };
    expect(await explained(stage, node)).toMatchObject({
      ...{ desired: { version: '2.0.0', rule: 'granted' }, emergencyPin: null, rollout: by },
    });
    await stage.run();
    created(await stage.act(rollout, 'rollback'));
    created(await plane.api.post(stage.publisher.path('1.0.0', '/block'), { reason: 'Loses data.' }));
    await stage.tick();
    // Nothing offers it the way back, which is due all the same.
    expect(await node.told()).toBeNull();
    expect(await explained(stage, node)).toMatchObject({
      desired: { rule: 'rollback', reason: 'release_blocked', wanted: '1.0.0' },
    });
  });

  it('begins by itself where its rollout was approved elsewhere', async () => {
    const stage = await RolloutStage.open(plane, 1);
    created(await plane.api.put(`/clusters/${stage.clusterId}/policy`, { rolloutApprovals: 1 }));
    const pin = await pinned(stage);
    created(await (await another()).post(`${stage.path}/${pin.rolloutId}/approve`));
    expect((await read(stage, pin.id)).status).toBe('pending_approval');
    await stage.tick();
    expect((await read(stage, pin.id)).status).toBe('in_force');
    created(await stage.act(pin.rolloutId, 'cancel'));
    expect((await read(stage, pin.id)).status).toBe('lifted');
  });

  it('is one for each node and product, also when many are made at once', async () => {
    const stage = await RolloutStage.open(plane, 2);
    const [one, other] = stage.nodes as [UpdatingNode, UpdatingNode];
    const bodies = [{ all: true }, { nodeIds: [one.id] }, { selector: {} }, { nodeIds: [one.id, other.id] }];
    const made = await Promise.all(
      bodies.map(async (scope) => plane.api.post(pathOf(stage), await bodyOf(stage, { scope }))),
    );
    expect(countByStatus(made)).toEqual({ 201: 1, 409: 3 });
    const winner = made.find(({ status }) => status === 201)?.body;
    for (const { body } of made.filter(({ status }) => status === 409))
      expect(body).toMatchObject({ code: 'emergency_pin_overlaps', overlaps: [{ pinId: winner.id }] });
    created(await plane.api.post(`${pathOf(stage)}/${winner.id}/lift`, { reason: 'Another one is better.' }));
    const apart = await Promise.all(
      [one, other].map(async ({ id }) =>
        plane.api.post(pathOf(stage), await bodyOf(stage, { scope: { nodeIds: [id] } })),
      ),
    );
    expect(countByStatus(apart)).toEqual({ 201: 2 });
    // What has expired keeps nobody from another one, whether or not that was written down.
    await stage.advance(3_600);
    expect((await pinned(stage)).status).toBe('in_force');
    const list = async (query: string) =>
      (created(await plane.api.get(`${pathOf(stage)}?${query}`)) as { items: Answer['body'][] }).items;
    expect((await list('limit=200')).map(({ status }) => status)).toEqual([
      'in_force',
      'expired',
      'expired',
      'lifted',
    ]);
    expect(await list(`status=expired&product=${stage.publisher.product}`)).toHaveLength(2);
    expect(await list('status=in_force&product=nothing')).toEqual([]);
  });

  it('keeps a pin that is set meanwhile from its node until it is over', async () => {
    const stage = await RolloutStage.open(plane, 1);
    const [node] = stage.nodes as [UpdatingNode];
    await stage.publisher.release('3.0.0');
    const pin = await pinned(stage);
    const own = `/clusters/${stage.clusterId}/nodes/${node.id}/pins/${stage.publisher.product}`;
    created(await plane.api.put(own, { version: '3.0.0', reason: 'A driver needs it.' }));
    await stage.run();
    expect(node.installed).toBe('2.0.0');
    created(await plane.api.post(`${pathOf(stage)}/${pin.id}/lift`, { reason: 'Over.' }));
    await stage.run();
    expect(node.installed).toBe('3.0.0');
  });

  it('lets a node that is away when it ends go on from where it is, too', async () => {
    const stage = await RolloutStage.open(plane, 1);
    const [node] = stage.nodes as [UpdatingNode];
    const migrations = [migrationOf(testFile(), { downgradePossible: false, rollback: 'none' })];
    await stage.publisher.release('3.0.0', { migrations });
    const rollout = await stage.started();
    const pin = await pinned(stage, { version: '3.0.0' });
    await stage.run();
    expect(node.installed).toBe('3.0.0');
    await stage.silence(node);
    created(await plane.api.post(`${pathOf(stage)}/${pin.id}/lift`, { reason: 'It is mended.' }));
    await stage.tick();
    expect((await waysOf(stage, rollout)).get(`forward ${node.id}`)).toEqual(['deferred', 'offline']);
    await stage.advance(1);
    await node.beat();
    await stage.tick();
    expect(await node.told()).toBeNull();
    const ways = await waysOf(stage, rollout);
    expect(ways.get(`forward ${node.id}`)).toEqual(['skipped', 'downgrade_not_possible']);
  });

  it('refuses what it could not hold to', async () => {
    const stage = await RolloutStage.open(plane, 1);
    const post = async (more: object) => plane.api.post(pathOf(stage), await bodyOf(stage, more));
    const stranger = '019ab0c4-7e11-7a52-8d3f-5a0d7f0f3c21';
    const cases: [object, string][] = [
      [{ scope: {} }, '#/scope'],
      [{ scope: { all: true, selector: {} } }, '#/scope'],
      [{ scope: { nodeIds: [stage.nodes[0]?.id, stranger] } }, '#/scope'],
      [{ scope: { selector: { labels: { site: 'nowhere' } } } }, '#/scope'],
      [{ expiresAt: await inSeconds(0) }, '#/expiresAt'],
      [{ expiresAt: await inSeconds(31 * 86_400) }, '#/expiresAt'],
      [{ version: '9.0.0' }, '#/version'],
    ];
    for (const [more, pointer] of cases) {
      const { status, body } = await post(more);
      expect([status, body.errors?.[0]?.pointer]).toEqual([422, pointer]);
    }
    expect((await post({ product: 'nothing' })).status).toBe(404);
    expect((await plane.api.get(pathOf(stage))).body.items).toEqual([]);
  });
});
