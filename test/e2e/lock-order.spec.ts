import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import type { Answer } from '../support/api.js';
import { deadlocksOf } from '../support/conflicts.js';
import { type ControlPlane, startControlPlane } from '../support/control-plane.js';
import { created, given, unique } from '../support/given.js';
import { Publisher } from '../support/publisher.js';
import { RolloutStage } from '../support/rollouts/stage.js';
import { openSecondSession, type SecondSession } from '../support/second-session.js';

let plane: ControlPlane;
let session: SecondSession;
let deadlocksBefore: number;
beforeAll(async () => {
  // Without workers: a tick would be found waiting for the locks that a test holds.
  plane = await startControlPlane({ config: { role: 'api' } });
});
afterAll(() => plane?.close());
beforeEach(async () => {
  deadlocksBefore = await deadlocksOf(plane);
  session = await openSecondSession(plane);
  await session.query('BEGIN');
});
afterEach(() => session?.end());

const made = async (path: string, body?: unknown) =>
  created(await plane.api.post(path, body)) as { id: string };

/** Lets go of what the test holds. Both calls are to end well, and neither by being tried again. */
async function bothGoOn(one: Promise<Answer>, other: Promise<Answer>): Promise<void> {
  await session.query('COMMIT');
  const answers = await Promise.all([one, other]);
  expect(answers.map(({ status, body }) => [status, body.code])).toEqual([
    [200, undefined],
    [200, undefined],
  ]);
  expect((await deadlocksOf(plane)) - deadlocksBefore).toBe(0);
}

describe('two calls that meet wait for one another, never in a circle', () => {
  it('where one changes a member and concerns others, and the other concerns that member', async () => {
    const stage = await RolloutStage.open(plane, 2, ['can_run_update_cache']);
    const cluster = `/clusters/${stage.clusterId}`;
    const [one, other] = stage.nodes as [RolloutStage['nodes'][0], RolloutStage['nodes'][0]];
    const serve = (node: typeof one, port: number) =>
      node.api.put('/node-agents/me/update-cache', { url: `https://${node.id}.test:${port}` });
    for (const node of stage.nodes) {
      await made(`${cluster}/role-assignments`, { nodeId: node.id, role: 'update-cache' });
      created(await serve(node, 1));
    }
    await stage.started({ maxUnavailable: 2 });
    expect([await one.told(), await other.told()]).not.toContain(null);
    const { id: groupId } = await made(`${cluster}/node-groups`, { name: unique('site') });
    // Keeps the one from its group while it holds its member already.
    await session.query('SELECT 1 FROM node_groups WHERE id = $1 FOR UPDATE', [groupId]);
    const regrouping = plane.api.patch(`${cluster}/nodes/${one.id}`, { groupId });
    await session.untilWaiting(1);
    const moving = serve(other, 2);
    await Promise.race([moving, session.untilWaiting(2)]);
    await bothGoOn(regrouping, moving);
  });

  it('where two versions are blocked between which channels go back and forth', async () => {
    const publisher = await Publisher.make(plane.api);
    for (const version of ['1.0.0', '2.0.0']) await publisher.release(version);
    const courses = [
      ['1.0.0', '2.0.0'],
      ['2.0.0', '1.0.0'],
    ];
    const [product] = await plane.database.query<{ id: string }>('SELECT id FROM products WHERE name = $1', [
      publisher.product,
    ]);
    for (const versions of courses) {
      const { id } = await given(plane).cluster();
      const path = `/clusters/${id}/channels/${publisher.product}/current`;
      for (const version of versions) created(await plane.api.put(path, { version }));
      // Keeps each block from its channel while it holds its release already.
      const channel = `channel ${id} ${product?.id} current`;
      await session.query('SELECT pg_advisory_xact_lock(hashtextextended($1, 0))', [channel]);
    }
    const block = (version: string) =>
      plane.api.post(publisher.path(version, '/block'), { reason: 'It loses packets.' });
    const blocking = [block('2.0.0'), block('1.0.0')] as const;
    await session.untilWaiting(2);
    await bothGoOn(...blocking);
  });

  it('where a rollout is taken back to a version that is being blocked', async () => {
    const stage = await RolloutStage.open(plane, 1);
    await stage.publisher.release('3.0.0');
    const begun: string[] = [];
    for (const targetVersion of ['2.0.0', '3.0.0']) {
      const id = await stage.draft({}, { targetVersion });
      created(await stage.act(id, 'start'));
      await stage.run();
      begun.push(id);
    }
    // Keeps the rollback from its rollout while it holds the product already.
    await session.query('SELECT 1 FROM rollouts WHERE id = $1 FOR NO KEY UPDATE', [begun[1]]);
    const taking = stage.act(begun[1] ?? '', 'rollback');
    await session.untilWaiting(1);
    const blocking = plane.api.post(stage.publisher.path('2.0.0', '/block'), { reason: 'It loses packets.' });
    await session.untilWaiting(2);
    await bothGoOn(taking, blocking);
  });
});
