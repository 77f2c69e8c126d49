import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { RolloutNudges } from '../../src/modules/rollouts/rollout-nudges.js';
import type { Answer } from '../support/api.js';
import { type ControlPlane, startControlPlane } from '../support/control-plane.js';
import { created } from '../support/given.js';
import { migrationOf, type TestFile, testFile } from '../support/publisher.js';
import { crowd } from '../support/rollouts/crowd.js';
import { RolloutStage, UpdatingNode } from '../support/rollouts/stage.js';
import { rowsRead } from '../support/rows-read.js';

let plane: ControlPlane;
beforeAll(async () => {
  // Ticks come when the test says so.
  plane = await startControlPlane({ config: { role: 'api' } });
});
afterAll(() => plane?.close());

const toldOf = async (node: UpdatingNode) => {
  const update = await node.told();
  return update === null ? null : [update.fromVersion, update.toVersion, update.phase];
};
/** What stands in a rollout of its nodes, by node id. */
const waysIn = async (stage: RolloutStage, id: string) => {
  const page = created(await plane.api.get(`${stage.path}/${id}/nodes?limit=200`)) as Answer['body'];
  return new Map(
    (page.items as Answer['body'][]).map(({ nodeId, state, stateReason }) => [nodeId, [state, stateReason]]),
  );
};
const FLOOR_2 = { compatibility: { fromVersions: ['>=2.0.0'] } };

describe('a rollout that begins long after it was planned', () => {
  it('leads each node from where it is by then, and back to there', async () => {
    const stage = await RolloutStage.open(plane, 2);
    await stage.publisher.release('3.0.0', FLOOR_2);
    const first = await stage.started();
    // Both are on 1.0.0 still: the plan leads over 2.0.0.
    const next = await stage.draft({ maxUnavailable: 2 }, { targetVersion: '3.0.0' });
    const { planHash } = await stage.rollout(next);
    await stage.run();
    expect((await stage.rollout(first)).state).toBe('succeeded');
    created(await stage.act(next, 'start'));
    const offered = ['2.0.0', '3.0.0', 'offered'];
    expect(await Promise.all(stage.nodes.map(toldOf))).toEqual([offered, offered]);
    await stage.run();
    expect(await stage.rollout(next)).toMatchObject({ state: 'succeeded', planHash });
    created(await stage.act(next, 'rollback'));
    await stage.run();
    expect(stage.nodes.map(({ installed }) => installed)).toEqual(['2.0.0', '2.0.0']);
    expect((await stage.rollout(next)).state).toBe('rolled_back');
  });

  it('leaves out no version that a node has to have before, wherever the node has come back to', async () => {
    const stage = await RolloutStage.open(plane, 2);
    const [back, still] = stage.nodes as [UpdatingNode, UpdatingNode];
    await stage.publisher.release('3.0.0', FLOOR_2);
    for (const node of stage.nodes) await node.reinstall('2.0.0');
    const id = await stage.draft({ maxUnavailable: 2 }, { targetVersion: '3.0.0' });
    await back.reinstall('1.0.0');
    created(await stage.act(id, 'start'));
    expect(await toldOf(still)).toEqual(['2.0.0', '3.0.0', 'offered']);
    expect(await toldOf(back)).toEqual(['1.0.0', '2.0.0', 'offered']);
    // What a node was offered it is not offered any more when it is elsewhere.
    await still.reinstall('1.0.0');
    await stage.tick();
    expect(await toldOf(still)).toEqual(['1.0.0', '2.0.0', 'offered']);
    await stage.run();
    expect((await stage.rollout(id)).state).toBe('succeeded');
    expect(stage.nodes.map(({ installed }) => installed)).toEqual(['3.0.0', '3.0.0']);
  });

  it('cannot be taken back when a node turns out to go over a version that cannot be undone', async () => {
    const stage = await RolloutStage.open(plane, 1);
    const [node] = stage.nodes as [UpdatingNode];
    const migrations = [migrationOf(testFile(), { downgradePossible: false })];
    await stage.publisher.release('2.5.0', { migrations });
    await stage.publisher.release('3.0.0', { compatibility: { fromVersions: ['>=2.5.0'] } });
    await node.reinstall('2.5.0');
    const id = await stage.draft({}, { targetVersion: '3.0.0' });
    expect((await stage.rollout(id)).downgradePossible).toBe(true);
    await node.reinstall('1.0.0');
    created(await stage.act(id, 'start'));
    await stage.run();
    expect(node.installed).toBe('3.0.0');
    expect(await stage.rollout(id)).toMatchObject({ state: 'succeeded', downgradePossible: false });
    expect((await stage.act(id, 'rollback')).body.code).toBe('downgrade_not_possible');
  });

  it('leaves out who has the version by then, or may not be led to it, and says why', async () => {
    const stage = await RolloutStage.open(plane, 3);
    const [there, beyond, waiting] = stage.nodes as [UpdatingNode, UpdatingNode, UpdatingNode];
    const migrations = [migrationOf(testFile(), { downgradePossible: false })];
    await stage.publisher.release('3.0.0', { migrations });
    const id = await stage.draft();
    await there.reinstall('2.0.0');
    await beyond.reinstall('3.0.0');
    created(await stage.act(id, 'start'));
    expect([await there.told(), await beyond.told()]).toEqual([null, null]);
    expect(await toldOf(waiting)).toEqual(['1.0.0', '2.0.0', 'offered']);
    const ways = await waysIn(stage, id);
    expect([ways.get(there.id), ways.get(beyond.id)]).toEqual([
      ['skipped', 'already_on_target'],
      ['skipped', 'downgrade_not_possible'],
    ]);
    await stage.run();
    expect((await stage.rollout(id)).state).toBe('succeeded');
    expect(beyond.installed).toBe('3.0.0');
  });

  it('proves nothing by nodes that have the version already', async () => {
    const stage = await RolloutStage.open(plane, 1);
    const [node] = stage.nodes as [UpdatingNode];
    const id = await stage.draft();
    await node.reinstall('2.0.0');
    created(await stage.act(id, 'start'));
    await stage.tick();
    expect(await stage.rollout(id)).toMatchObject({ state: 'paused', stateReason: 'no_evidence' });
  });

  it('gives each node the file for the system that it is by then, and leaves out whose system has none', async () => {
    const stage = await RolloutStage.open(plane, 3);
    const [moved, gone, still] = stage.nodes as [UpdatingNode, UpdatingNode, UpdatingNode];
    const files = await stage.publisher.releaseFor('3.0.0', ['linux/x64', 'linux/arm64']);
    const id = await stage.draft({ maxUnavailable: 3 }, { targetVersion: '3.0.0' });
    await moved.becomes({ os: 'linux', arch: 'arm64' });
    await gone.becomes({ os: 'windows', arch: 'x64' });
    created(await stage.act(id, 'start'));
    const expectFile = async (node: UpdatingNode, system: string) => {
      const artifact = (await node.told())?.artifact;
      const { sha256 } = files.get(system) as TestFile;
      expect(artifact).toMatchObject({ os: 'linux', arch: system.split('/')[1], sha256 });
      const path = artifact?.path.replace('/api/v1', '') ?? '';
      const answers = [...files.values()].map((file) => node.api.get(path.replace(sha256, file.sha256)));
      const statuses = [...files.keys()].map((each) => (each === system ? 200 : 404));
      expect((await Promise.all(answers)).map(({ status }) => status)).toEqual(statuses);
    };
    await expectFile(moved, 'linux/arm64');
    await expectFile(still, 'linux/x64');
    expect(await gone.told()).toBeNull();
    expect((await waysIn(stage, id)).get(gone.id)).toEqual(['skipped', 'no_artifact_for_platform']);
    // It has been offered the file for what it is no more.
    await still.becomes({ os: 'linux', arch: 'arm64' });
    await stage.tick();
    await expectFile(still, 'linux/arm64');
    await stage.run();
    expect((await stage.rollout(id)).state).toBe('succeeded');
    expect([moved, gone, still].map(({ installed }) => installed)).toEqual(['3.0.0', '1.0.0', '3.0.0']);
  });

  it('is for the nodes that it was planned for: for nobody who has come since, and not for who has gone', async () => {
    const stage = await RolloutStage.open(plane, 3);
    const [gone, relabelled, disabled] = stage.nodes as [UpdatingNode, UpdatingNode, UpdatingNode];
    const nodePath = ({ id }: UpdatingNode) => `/clusters/${stage.clusterId}/nodes/${id}`;
    const label = async (node: UpdatingNode, labels: object) => {
      const { headers } = await plane.api.get(nodePath(node));
      const match = { 'if-match': headers.get('etag') ?? '' };
      created(await plane.api.patch(nodePath(node), { labels }, match));
    };
    for (const node of stage.nodes) await label(node, { tier: 'edge' });
    const more = { selector: { labels: { tier: 'edge' } } };
    const id = await stage.draft({ maxUnavailable: 3 }, more);
    const joined = await UpdatingNode.admit(plane, stage.clusterId, '1.0.0');
    await label(joined, { tier: 'edge' });
    await label(relabelled, {});
    created(await plane.api.post(`${nodePath(gone)}/revoke`, { reason: 'Sold.' }));
    created(await plane.api.post(`${nodePath(disabled)}/disable`, { reason: 'Rack is moved.' }));
    created(await stage.act(id, 'start'));
    await stage.tick();
    expect(await toldOf(relabelled)).toEqual(['1.0.0', '2.0.0', 'offered']);
    expect(await joined.told()).toBeNull();
    expect(await waysIn(stage, id)).toEqual(
      new Map([
        [gone.id, ['decommissioned', 'membership_ended']],
        [relabelled.id, ['offered', null]],
        [disabled.id, ['deferred', 'offline']],
      ]),
    );
    const [{ counts }] = (await stage.rollout(id)).waves;
    expect(counts).toEqual({ decommissioned: 1, deferred: 1, offered: 1 });
  });
});

/** What those have who never call and stand from that place on. */
const crowdHas = async (id: string, version: string, from = 0, to = 1e6) => {
  const moved = await plane.database.query(
    `UPDATE cluster_memberships AS m SET agent_version = $2 FROM rollout_assignments AS a
      WHERE a.rollout_id = $1 AND m.cluster_id = a.cluster_id AND m.node_id = a.node_id AND m.name LIKE 'crowd-%'
        AND a.direction = 'forward' AND a.place >= $3 AND a.place < $4 RETURNING m.node_id`,
    [id, version, from, to],
  );
  expect(moved.length).toBeGreaterThan(0);
};

describe('a rollout for which thousands wait', () => {
  /** The most rows that one transaction reads of a rollout in which everybody has come elsewhere since it was planned. */
  async function read(size: number): Promise<{ tick: number; report: number }> {
    const stage = await RolloutStage.open(plane, 1);
    const [node] = stage.nodes as [UpdatingNode];
    await crowd(plane, stage.clusterId, size);
    const waves = [
      { name: 'one', selector: { nodeIds: [node.id] } },
      { name: 'crowd', percent: 100, dependsOn: [] },
    ];
    const id = await stage.started({ waves, maxUnavailable: 10 });
    const update = await node.told();
    if (update === null) throw new Error('the node is told of no update');
    expect(await node.prepare(update)).toBe(true);
    await crowdHas(id, '1.5.0');
    await plane.database.query('ANALYZE');
    const tables = ['rollout_assignments', 'cluster_memberships', 'node_liveness'];
    const most = async (work: () => Promise<unknown>) => Math.max(...(await rowsRead(tables, work)));
    // Whom it has offered something is elsewhere as well: the tick takes that back, and begins with those in front.
    const tick = await most(() => stage.tick());
    expect((await stage.rollout(id)).waves[1].counts).toEqual({ offered: 50, planned: size - 50 });
    for (const state of ['starting', 'health_checking', 'promoting'])
      created(await node.report(update, state));
    await plane.database.query(
      `UPDATE rollout_assignments SET state = 'ok', node_state = 'running'
        WHERE rollout_id = $1 AND wave_position = 1 AND step_from = '1.5.0'`,
      [id],
    );
    const report = await most(async () => created(await node.report(update, 'running')));
    expect((await stage.rollout(id)).waves[1].counts).toMatchObject({ offered: 50 });
    created(await stage.act(id, 'cancel'));
    return { tick, report };
  }

  it('looks at as many of them in one transaction, however many wait and wherever they are', async () => {
    const few = await read(1_300);
    const many = await read(2_600);
    // What an index says of rows that are gone may differ; who is looked at counts thrice and more.
    expect(many.tick - few.tick).toBeLessThan(500);
    expect(many.report - few.report).toBeLessThan(500);
  });

  it('lets nobody who can go wait behind those who cannot, and comes back to each of these', async () => {
    const stage = await RolloutStage.open(plane);
    await stage.publisher.release('3.0.0', FLOOR_2);
    await crowd(plane, stage.clusterId, 2_200);
    const id = await stage.draft({ maxUnavailable: 5 }, { targetVersion: '3.0.0' });
    // All have to pass 2.0.0, which nobody may have any more.
    created(await plane.api.post(stage.publisher.path('2.0.0', '/block'), { reason: 'Loses data.' }));
    await crowdHas(id, '2.0.0', 2_170);
    const goes = async () => (await stage.rollout(id)).waves[0].counts.offered ?? 0;
    const nudge = jest.spyOn(RolloutNudges.prototype, 'nudge');
    const asksForMore = () => {
      const { length } = nudge.mock.calls;
      nudge.mockClear();
      return length > 0;
    };
    created(await stage.act(id, 'start'));
    expect([await goes(), asksForMore()]).toEqual([0, true]);
    await stage.tick();
    expect(await goes()).toBe(30);
    // Those in front are looked at each time, those behind in turn.
    await crowdHas(id, '2.0.0', 7, 8);
    await crowdHas(id, '2.0.0', 1_500, 1_501);
    await crowdHas(id, '2.0.0', 2_150, 2_151);
    await stage.tick();
    expect([await goes(), asksForMore()]).toEqual([32, true]);
    await stage.tick();
    expect(await goes()).toBe(33);
    created(await stage.act(id, 'cancel'));
    nudge.mockRestore();
  });
});
