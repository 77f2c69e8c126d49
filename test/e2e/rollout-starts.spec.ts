import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { Answer } from '../support/api.js';
import { type ControlPlane, startControlPlane } from '../support/control-plane.js';
import { created } from '../support/given.js';
import { migrationOf, testFile } from '../support/publisher.js';
import { RolloutStage, UpdatingNode } from '../support/rollouts/stage.js';

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
