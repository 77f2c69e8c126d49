import { afterAll, afterEach, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { type Sql, sql } from '../../src/common/database/sql.js';
import { systemActor } from '../../src/common/request/actor.js';
import { OpenTransaction } from '../../src/common/transaction/open-transaction.js';
import { Transactor } from '../../src/common/transaction/transactor.js';
import type { ReadTx } from '../../src/common/transaction/tx.js';
import { AssignmentsRepository } from '../../src/modules/rollouts/assignments.repository.js';
import { RolloutsRepository } from '../../src/modules/rollouts/rollouts.repository.js';
import { UpdateIntake } from '../../src/modules/rollouts/update-intake.js';
import { type ControlPlane, startControlPlane } from '../support/control-plane.js';
import { created } from '../support/given.js';
import { crowd, crowdReaches } from '../support/rollouts/crowd.js';
import { RolloutStage, type UpdatingNode } from '../support/rollouts/stage.js';

let plane: ControlPlane;
beforeAll(async () => {
  // No worker ticks but when the test says so.
  plane = await startControlPlane({ config: { role: 'api' } });
});
afterEach(() => {
  jest.restoreAllMocks();
});
afterAll(() => plane?.close());

/** How many statements transactions make in `work`. */
async function statements(work: () => Promise<unknown>): Promise<number> {
  const query = jest.spyOn(OpenTransaction.prototype, 'query');
  await work();
  const { length } = query.mock.calls;
  query.mockRestore();
  return length;
}

/** A cluster of so many nodes, one of which is real. */
async function stageOf(size: number): Promise<{ stage: RolloutStage; node: UpdatingNode }> {
  const stage = await RolloutStage.open(plane, 1);
  await crowd(plane, stage.clusterId, size - 1);
  const [node] = stage.nodes;
  if (node === undefined) throw new Error('there is no node');
  return { stage, node };
}

const TWO_WAVES = {
  waves: [
    { name: 'half', percent: 50 },
    { name: 'rest', percent: 100 },
  ],
  maxUnavailable: 400,
};

/** What a rollout of so many nodes costs, from its start to its end. */
async function costs(size: number): Promise<Record<string, number>> {
  const { stage, node } = await stageOf(size);
  const id = await stage.draft(TWO_WAVES);
  const counted: Record<string, number> = {};
  const count = async (step: string, work: () => Promise<unknown>) => {
    counted[step] = await statements(work);
    await expectCountsToBeTrue(id);
  };
  await count('start', async () => created(await stage.act(id, 'start')));
  for (const wave of ['half', 'rest']) {
    await crowdReaches(plane, id, ['offered'], { state: 'offered', nodeState: 'staging' });
    await count(`grant ${wave}`, () => stage.tick());
    await crowdReaches(plane, id, ['granted'], { state: 'ok', nodeState: 'running' });
    await count(`end ${wave}`, () => stage.tick());
  }
  expect(await stage.rollout(id)).toMatchObject({ state: 'succeeded', updateStates: { running: size } });
  await count('roll back', async () => created(await stage.act(id, 'rollback')));
  const update = await node.told();
  if (update === null) throw new Error('the node is told of no way back');
  await count('report', async () => created(await node.report(update, 'checking')));
  // A sweep looks at every rollout that is under way.
  await plane.database.query(`UPDATE rollouts SET state = 'rolled_back' WHERE id = $1`, [id]);
  return counted;
}

const STATES = [
  ...['checking', 'downloading', 'verifying', 'staging'],
  ...['starting', 'health_checking', 'promoting', 'running'],
] as const;

/** What it costs that so many nodes report each state together, and who is said to have reported. */
async function reportCosts(size: number): Promise<{ counted: Record<string, number>; reporters: number }> {
  const { stage } = await stageOf(size);
  const id = await stage.started({ maxUnavailable: size });
  const rows = await plane.database.query<{ assignmentId: string; nodeId: string }>(
    'SELECT id AS "assignmentId", node_id AS "nodeId" FROM rollout_assignments WHERE rollout_id = $1',
    [id],
  );
  const counted: Record<string, number> = {};
  for (const [index, state] of STATES.entries()) {
    const sent = rows.map(({ assignmentId, nodeId }) => ({
      by: {
        actor: { ...systemActor('test'), type: 'node' as const, id: nodeId },
        requestId: nodeId,
        highRisk: false,
      },
      node: { clusterId: stage.clusterId, nodeId, identityId: nodeId },
      assignmentId,
      report: { state, attempt: 1, epoch: 1, sequence: index + 1 },
    }));
    counted[state] = await statements(async () => {
      const answers = await plane.app.get(UpdateIntake).take(sent);
      expect([...answers.values()].filter((answer) => 'refusal' in answer)).toEqual([]);
    });
    await expectCountsToBeTrue(id);
  }
  expect(await stage.rollout(id)).toMatchObject({ state: 'succeeded', updateStates: { running: size } });
  const [row] = await plane.database.query<{ reporters: number }>(
    `SELECT count(DISTINCT actor_id)::int AS reporters FROM audit_events
      WHERE action = 'rollout.node_reported' AND resource_id = $1 AND request_id = actor_id AND after ->> 'nodeId' = actor_id`,
    [id],
  );
  return { counted, reporters: row?.reporters ?? 0 };
}

/** The numbers that are kept are those of the rows. */
async function expectCountsToBeTrue(rolloutId: string): Promise<void> {
  const key = 'direction, state, to_release_id, is_written_off';
  const kept = await plane.database.query(
    `SELECT ${key}, wave_position, nodes FROM rollout_counts WHERE rollout_id = $1 AND nodes <> 0 ORDER BY 1, 2, 3, 4, 5`,
    [rolloutId],
  );
  const there = await plane.database.query(
    `SELECT ${key}, coalesce(wave_position, -1) AS wave_position, count(*)::int AS nodes
       FROM rollout_assignments WHERE rollout_id = $1 GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 3, 4, 5`,
    [rolloutId],
  );
  expect(kept).toEqual(there);
  const reported = await plane.database.query(
    'SELECT node_state, nodes FROM rollout_update_counts WHERE rollout_id = $1 AND nodes <> 0 ORDER BY 1',
    [rolloutId],
  );
  const are = await plane.database.query(
    `SELECT node_state, count(*)::int AS nodes FROM rollout_assignments
      WHERE rollout_id = $1 AND direction = 'forward' AND state <> 'skipped' GROUP BY 1 ORDER BY 1`,
    [rolloutId],
  );
  expect(reported).toEqual(are);
}

/** How many nodes of a rollout are in each state of their way back. */
async function waysBack(rolloutId: string): Promise<Record<string, number>> {
  const rows = await plane.database.query<{ state: string; nodes: number }>(
    `SELECT state, count(*)::int AS nodes FROM rollout_assignments
      WHERE rollout_id = $1 AND direction = 'back' GROUP BY 1`,
    [rolloutId],
  );
  return Object.fromEntries(rows.map(({ state, nodes }) => [state, nodes]));
}

describe('a draft', () => {
  it('holds each node at its place, also of more than one statement writes down', async () => {
    const { stage } = await stageOf(10_100);
    const id = await stage.draft({
      waves: [
        { name: 'canary', count: 100 },
        { name: 'rest', count: 9_950 },
      ],
    });
    const written = await plane.database.query(
      `SELECT wave_position, state, count(*)::int AS nodes, count(DISTINCT node_id)::int AS apart,
              array_agg(place ORDER BY place) = array_agg(nth ORDER BY nth) AS "inPlace"
         FROM (SELECT a.*, (row_number() OVER (PARTITION BY wave_position ORDER BY place) - 1)::int AS nth
                 FROM rollout_assignments AS a WHERE a.rollout_id = $1) AS a
        GROUP BY wave_position, state ORDER BY wave_position`,
      [id],
    );
    const told = (wave_position: number | null, state: string, nodes: number) => ({
      wave_position,
      state,
      nodes,
      apart: nodes,
      inPlace: true,
    });
    expect(written).toEqual([told(0, 'planned', 100), told(1, 'planned', 9_950), told(null, 'skipped', 50)]);
    await expectCountsToBeTrue(id);
  });
});

describe('the engine', () => {
  it('makes as many statements for 300 nodes as for 10, and keeps their numbers right', async () => {
    const few = await costs(10);
    expect(await costs(300)).toEqual(few);
    expect(Math.max(...Object.values(few))).toBeLessThan(100);
  });

  it('hears 30 nodes by as many statements as 3, and tells who said what', async () => {
    const few = await reportCosts(3);
    const many = await reportCosts(30);
    expect(many.counted).toEqual(few.counted);
    expect([few.reporters, many.reporters]).toEqual([3, 30]);
  });

  it('looks at nothing but the reports when nodes go on with what they were let go for', async () => {
    const { checking, starting, health_checking: tried, running } = (await reportCosts(3)).counted;
    expect([starting, tried]).toEqual([checking, checking]);
    expect(running).toBeGreaterThan(checking as number);
  });

  it('plans what it asks of many nodes once for each connection', async () => {
    const { stage } = await stageOf(3);
    const id = await stage.started({ maxUnavailable: 3 });
    const ids = await plane.database.query<{ id: string }>(
      'SELECT id FROM rollout_assignments WHERE rollout_id = $1',
      [id],
    );
    const assignments = plane.app.get(AssignmentsRepository);
    const plans = await plane.app.get(Transactor).observe(
      systemActor('test'),
      async (tx) => {
        // Five times Postgres would look for the best plan for these very ids.
        for (let nth = 0; nth < 7; nth += 1)
          await assignments.findAll(
            tx,
            ids.slice(nth % 3).map((each) => each.id),
          );
        return {
          result: await tx.query(sql`
            SELECT p.custom_plans::int AS custom FROM pg_prepared_statements AS p
             WHERE p.statement LIKE '%rollout_assignments AS a WHERE a.id = ANY%' AND p.statement LIKE '%"waveP%'
               AND p.generic_plans > 5`),
        };
      },
      { prepares: true },
    );
    expect(plans).toEqual([{ custom: 0 }]);
  });

  it('takes a large rollout back step by step, and forgets nobody', async () => {
    const { stage } = await stageOf(4_200);
    const cancelled = await stage.started({ maxUnavailable: 5 });
    const states = async (id: string) => (await stage.rollout(id)).waves[0].counts;
    const { body } = await stage.act(cancelled, 'cancel');
    expect(body.state).toBe('cancelled');
    // Two thousand when it is cancelled, and as many when what follows is done; offers go at once.
    expect(body.waves[0].counts).toEqual({ planned: 150, cancelled: 4_050 });
    await stage.tick();
    expect(await states(cancelled)).toEqual({ cancelled: 4_200 });

    const id = await stage.started({ maxUnavailable: 5 });
    await crowdReaches(plane, id, ['offered'], { state: 'offered', nodeState: 'staging' });
    await stage.tick();
    expect((await stage.act(id, 'rollback')).body.state).toBe('rolling_back');
    await stage.tick();
    // Five are on their way, and each has a way back before it.
    expect(await states(id)).toEqual({ granted: 5, cancelled: 4_195 });
    await expectCountsToBeTrue(id);
    await plane.database.query(`UPDATE rollouts SET state = 'rolled_back' WHERE id = $1`, [id]);
  });

  it('proves a version to many nodes and leads them back step by step, and gives none up before its turn', async () => {
    const { stage } = await stageOf(1_300);
    const id = await stage.started({ maxUnavailable: 5 });
    await crowdReaches(plane, id, ['planned', 'offered'], { state: 'ok', nodeState: 'running' });
    const known = async () => {
      const [row] = await plane.database.query<{ good: number }>(
        `SELECT count(*)::int AS good FROM node_versions WHERE cluster_id = $1 AND last_known_good = '2.0.0'`,
        [stage.clusterId],
      );
      return row?.good;
    };
    await stage.tick();
    expect((await stage.rollout(id)).state).toBe('succeeded');
    expect(await known()).toBe(1_000);
    await stage.tick();
    expect(await known()).toBe(1_300);

    // Those who come first have nowhere to go: others may, who have not been looked at.
    await plane.database.query(
      `UPDATE rollout_assignments SET from_version = NULL WHERE rollout_id = $1 AND (node_id IN (
         SELECT node_id FROM rollout_assignments WHERE rollout_id = $1 ORDER BY node_id LIMIT 1000)) IS TRUE`,
      [id],
    );
    expect((await stage.act(id, 'rollback')).body.state).toBe('rolling_back');
    expect(await waysBack(id)).toEqual({ skipped: 1_000 });
    await stage.tick();
    expect(await waysBack(id)).toEqual({ skipped: 1_000, planned: 250, offered: 50 });
    expect((await stage.rollout(id)).state).toBe('rolling_back');
    await expectCountsToBeTrue(id);
    await plane.database.query(
      `UPDATE rollout_assignments SET state = CASE direction WHEN 'back' THEN 'ok' ELSE 'rolled_back' END
        WHERE rollout_id = $1 AND (node_id IN (
          SELECT node_id FROM rollout_assignments WHERE rollout_id = $1 AND state IN ('planned', 'offered'))) IS TRUE`,
      [id],
    );
    await stage.tick();
    expect(await stage.rollout(id)).toMatchObject({
      state: 'rollback_stalled',
      stateReason: 'last_known_good_missing',
    });
  });

  it('opens a wave only when all are left out of it who may not have the version', async () => {
    const { stage } = await stageOf(1_101);
    const id = await stage.draft({ maxUnavailable: 5 });
    await plane.database.query(
      `INSERT INTO node_versions (cluster_id, node_id, product_id, is_fenced, updated_at)
       SELECT cluster_id, node_id, product_id, true, now() FROM rollout_assignments
        WHERE rollout_id = $1 ORDER BY node_id LIMIT 1100`,
      [id],
    );
    const wave = async () => {
      const { state, counts } = (await stage.rollout(id)).waves[0];
      return { state, counts };
    };
    created(await stage.act(id, 'start'));
    expect(await wave()).toEqual({ state: 'gated', counts: { skipped: 1_000, planned: 101 } });
    await stage.tick();
    expect(await wave()).toEqual({ state: 'active', counts: { skipped: 1_100, offered: 1 } });
    await expectCountsToBeTrue(id);
    created(await stage.act(id, 'cancel'));
  });
});

describe('a version that is blocked', () => {
  it('is left at once, whether its rollout is under way or was the last one long ago', async () => {
    for (const nodes of [2, 1]) {
      const stage = await RolloutStage.open(plane, nodes);
      const [node] = stage.nodes as [UpdatingNode];
      const waves = [
        { name: 'one', selector: { nodeIds: [node.id] } },
        { name: 'rest', percent: 100, requiresApproval: true },
      ];
      const id = await stage.started({ waves });
      await stage.run();
      expect([node.installed, (await stage.rollout(id)).state]).toEqual([
        '2.0.0',
        nodes === 2 ? 'running' : 'succeeded',
      ]);
      created(await plane.api.post(stage.publisher.path('2.0.0', '/block'), { reason: 'Loses data.' }));
      // Nothing has ticked since, and nobody has reported.
      expect(await node.told()).toMatchObject({ toVersion: '1.0.0', phase: 'offered' });
      await stage.run();
      expect([node.installed, (await stage.rollout(id)).state]).toEqual(['1.0.0', 'rolled_back']);
    }
  });
});

describe('the sweep that looks for rollouts in which something is due', () => {
  it('finds those that are over and have something left to do, and no others', async () => {
    const stage = await RolloutStage.open(plane, 1);
    const id = await stage.started();
    expect(await due()).toContain(id);
    await stage.run();
    created(await stage.act(id, 'rollback'));
    await stage.run();
    expect((await stage.rollout(id)).state).toBe('rolled_back');
    expect(await due()).not.toContain(id);

    const cancelled = await stage.started();
    created(await stage.act(cancelled, 'cancel'));
    expect(await due()).toContain(cancelled);
    await stage.tick();
    expect(await due()).not.toContain(cancelled);
  });

  it('finds one that is over while a node of it is still out of service', async () => {
    const stage = await RolloutStage.open(plane, 1);
    const [node] = stage.nodes as [UpdatingNode];
    const id = await stage.started();
    const update = await node.told();
    if (update === null) throw new Error('the node is told of no update');
    expect(await node.prepare(update)).toBe(true);
    created(await stage.act(id, 'cancel'));
    await stage.tick();
    // Should it be lost, somebody has to see it.
    expect(await due()).toContain(id);
    await node.change(update);
    expect(await due()).not.toContain(id);
  });

  it('finds one whose nodes have to leave a blocked version beside another, until they have left', async () => {
    const stage = await RolloutStage.open(plane, 2);
    const [node, other] = stage.nodes as [UpdatingNode, UpdatingNode];
    await stage.publisher.release('3.0.0');
    const first = await stage.started({}, { selector: { nodeIds: [node.id] } });
    await stage.run();
    await stage.tick();
    expect(await due()).not.toContain(first);
    // Its slot is taken, so that nobody can leave.
    const beside = await stage.started({}, { targetVersion: '3.0.0', selector: { nodeIds: [other.id] } });
    const update = await other.told();
    if (update === null) throw new Error('the node is told of no update');
    expect(await other.prepare(update)).toBe(true);
    created(await plane.api.post(stage.publisher.path('2.0.0', '/block'), { reason: 'Loses data.' }));
    await stage.tick();
    expect([await due(), (await stage.rollout(first)).state]).toEqual([
      expect.arrayContaining([first]),
      'succeeded',
    ]);
    await other.change(update);
    await stage.run();
    expect([node.installed, (await stage.rollout(beside)).state]).toEqual(['1.0.0', 'succeeded']);
    await stage.tick();
    expect(await due()).not.toContain(first);
  });

  it('reads none of those that are over, however many', async () => {
    const stage = await RolloutStage.open(plane, 1);
    const id = await stage.started();
    await stage.run();
    await plane.database.query(
      `INSERT INTO rollouts (id, kind, cluster_id, product_id, release_id, target_version, selector, strategy, salt, plan_hash,
                             downgrade_possible, state, created_by_type, created_by_id, created_at, updated_at, finished_at)
       SELECT gen_random_uuid(), r.kind, r.cluster_id, r.product_id, r.release_id, r.target_version, r.selector, r.strategy, r.salt,
              r.plan_hash, r.downgrade_possible, (ARRAY['succeeded', 'succeeded_with_deferred', 'cancelled', 'rolled_back'])[1 + n % 4],
              r.created_by_type, r.created_by_id, r.created_at, r.updated_at, r.finished_at
         FROM rollouts AS r CROSS JOIN generate_series(1, 5000) AS n WHERE r.id = $1`,
      [id],
    );
    await plane.database.query('ANALYZE rollouts');
    const transactor = plane.app.get(Transactor);
    const [plan] = await transactor.read((tx) => {
      const explaining = {
        ...tx,
        query: (statement: Sql) => tx.query(sql`EXPLAIN (ANALYZE, FORMAT JSON) ${statement}`),
      };
      return plane.app.get(RolloutsRepository).due(explaining as ReadTx);
    });
    const read = rowsReadOf(
      (plan as unknown as { 'QUERY PLAN': [{ Plan: PlanNode }] })['QUERY PLAN'][0].Plan,
    );
    expect(read).toBeLessThan(100);
  });
});

/** Ids of the rollouts that the sweep would take forward. */
async function due(): Promise<string[]> {
  const found = await plane.app.get(Transactor).read((tx) => plane.app.get(RolloutsRepository).due(tx));
  return found.map(({ id }) => id);
}

/** A node of what EXPLAIN tells. */
interface PlanNode {
  'Relation Name'?: string;
  'Actual Rows': number;
  'Actual Loops': number;
  'Rows Removed by Filter'?: number;
  Plans?: PlanNode[];
}

/** How many rows of rollouts were looked at. */
function rowsReadOf(node: PlanNode): number {
  const own = (node['Actual Rows'] + (node['Rows Removed by Filter'] ?? 0)) * node['Actual Loops'];
  const below = (node.Plans ?? []).map(rowsReadOf);
  return below.reduce((sum, rows) => sum + rows, node['Relation Name'] === 'rollouts' ? own : 0);
}
