import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import type { Sql } from '../../src/common/database/sql.js';
import { systemActor } from '../../src/common/request/actor.js';
import { HealthWatch } from '../../src/modules/nodes/health-watch.js';
import { HeartbeatFollowers } from '../../src/modules/nodes/heartbeat-followers.js';
import { HeartbeatsRepository } from '../../src/modules/nodes/heartbeats.repository.js';
import { REPORTED_STATES, WORKLOAD_HEALTH } from '../../src/modules/nodes/workload-report.schema.js';
import { WorkloadRetention } from '../../src/modules/workloads/workload-retention.js';
import { isInSync } from '../../src/modules/workloads/workload-sync.js';
import { WorkloadsRepository } from '../../src/modules/workloads/workloads.repository.js';
import type { Api } from '../support/api.js';
import { countByStatus } from '../support/applicant.js';
import { type ControlPlane, startControlPlane } from '../support/control-plane.js';
import { created, given, several } from '../support/given.js';
import { openSecondSession, type SecondSession } from '../support/second-session.js';
import { admittedNode, type TestNode } from '../support/test-node.js';

const RUNNING = { desiredState: 'running', runtime: 'native' };
const RESTARTS = { mode: 'always', initialDelaySeconds: 1, maxDelaySeconds: 60, resetAfterSeconds: 600 };
const LOCKED = 'LOCK TABLE node_service_instances IN ACCESS EXCLUSIVE MODE';

interface Said {
  serviceType?: string;
  instanceId?: string;
  reportedState?: string;
  version?: string;
  health?: string;
  message?: string;
}

let plane: ControlPlane;
let api: Api;
let node: TestNode;
let agent: Api;
let path: string;
beforeAll(async () => {
  plane = await startControlPlane();
  api = plane.api;
});
afterAll(() => plane?.close());

async function freshNode(): Promise<void> {
  node = await admittedNode(plane, undefined, { capabilities: ['can_run_vpn_exit'] });
  agent = await node.api();
  path = `/clusters/${node.clusterId}/nodes/${node.nodeId}`;
}

/** A node on which an operator wants `vpn-exit` to run. */
async function freshExit(): Promise<void> {
  await freshNode();
  created(
    await api.post(`/clusters/${node.clusterId}/role-assignments`, { nodeId: node.nodeId, role: 'vpn-exit' }),
  );
  created(await api.put(`${path}/workloads/vpn-exit`, RUNNING));
}

const says = (more: Said = {}) => ({
  serviceType: 'vpn-exit',
  instanceId: 'A',
  reportedState: 'running',
  ...more,
});
/** Sends a heartbeat that tells of these workloads. */
const beat = async (workloads: Said[] | undefined, as = agent) =>
  created(await as.post('/node-agents/me/heartbeat', node.heartbeat({ workloads })));
const report = ({ serviceType = 'vpn-exit', ...more }: Said & { logTail?: string } = {}, as = agent) =>
  as.put(`/node-agents/me/workloads/${serviceType}/status`, {
    instanceId: 'A',
    reportedState: 'running',
    ...more,
  });
const get = async (serviceType = 'vpn-exit') => (await api.get(`${path}/workloads/${serviceType}`)).body;
const listed = async () =>
  (await api.get(`${path}/workloads`)).body.items.map(({ serviceType }: Said) => serviceType).sort();
const history = async (serviceType = 'vpn-exit') =>
  (await api.get(`${path}/workloads/${serviceType}/history`)).body.items;
const states = async (serviceType = 'vpn-exit') =>
  (await history(serviceType)).map(({ reportedState }: Said) => reportedState);

async function withLock<T>(work: (session: SecondSession) => Promise<T>, statement = LOCKED): Promise<T> {
  const session = await openSecondSession(plane);
  try {
    await session.query('BEGIN');
    await session.query(statement);
    return await work(session);
  } finally {
    await session.end();
  }
}

describe('a heartbeat', () => {
  beforeEach(freshExit);

  it('tells how workloads are, beside what is wanted', async () => {
    const wanted = await get();
    const { snapshotGeneration } = (await beat([
      says({ version: '1.4.2', health: 'healthy', message: 'Up\x1b[31m and\nrunning.' }),
    ])) as { snapshotGeneration: number };
    const seen = await get();
    expect(seen).toEqual({
      ...wanted,
      instanceId: 'A',
      reportedState: 'running',
      reportedVersion: '1.4.2',
      health: 'healthy',
      message: 'Up and running.',
      reportedAt: expect.stringMatching(/Z$/),
      stateSince: seen.reportedAt,
      inSync: true,
      outOfSyncReason: null,
    });
    expect((await api.get(`${path}/snapshot`)).body.generation).toBe(snapshotGeneration);
    expect(await history()).toEqual([
      {
        id: expect.any(String),
        occurredAt: seen.reportedAt,
        instanceId: 'A',
        previousState: 'unknown',
        reportedState: 'running',
        reportedVersion: '1.4.2',
        previousHealth: null,
        health: 'healthy',
        message: 'Up and running.',
      },
    ]);
  });

  it('that says what the last one said looks at no workload, here and on another instance', async () => {
    const beside = await startControlPlane({ beside: plane });
    try {
      const there = beside.api.as((await node.requestToken()).body.access_token);
      await beat([says(), says({ serviceType: 'stray' })]);
      await withLock(async (session) => {
        await beat([says({ serviceType: 'stray' }), says()]);
        await beat([says(), says({ serviceType: 'stray' })], there);
        await beat(undefined);
        const pending = beat([says({ reportedState: 'failed' }), says({ serviceType: 'stray' })]);
        await session.untilWaiting();
        await session.query('COMMIT');
        await pending;
      });
      expect((await get()).reportedState).toBe('failed');
      // The last word was heard here; there it is old news as well.
      await withLock(() => beat([says({ reportedState: 'failed' }), says({ serviceType: 'stray' })], there));
      await beat([says(), says({ serviceType: 'stray' })], there);
      expect(await states()).toEqual(['running', 'failed', 'running']);
    } finally {
      await beside.close();
    }
  });

  it('is news again after a report of its own, even if it repeats the last heartbeat', async () => {
    await beat([says()]);
    await report({ reportedState: 'failed' });
    await beat([says()]);
    expect(await states()).toEqual(['running', 'failed', 'running']);
    expect((await get()).reportedState).toBe('running');
  });

  it('without workloads changes nothing, and one that misses a workload knows nothing of it any more', async () => {
    await beat([says({ version: '1' })]);
    await beat(undefined);
    expect((await get()).reportedState).toBe('running');
    await beat([]);
    expect(await get()).toMatchObject({
      desiredState: 'running',
      reportedState: 'unknown',
      instanceId: null,
      reportedVersion: null,
      reportedAt: null,
      outOfSyncReason: 'not_reported',
    });
    expect(await states()).toEqual(['unknown', 'running']);
    await beat([says()]);
    expect((await get()).inSync).toBe(true);
  });

  it('may tell of workloads that nobody wants: they are shown until it does not', async () => {
    await beat([says(), says({ serviceType: 'stray', version: '3' })]);
    expect(await get('stray')).toMatchObject({
      desiredState: null,
      reportedState: 'running',
      reportedVersion: '3',
      inSync: false,
      outOfSyncReason: 'not_desired',
    });
    await beat([says()]);
    expect(await listed()).toEqual(['vpn-exit']);
    expect(await states('stray')).toEqual(['running']);
  });

  it('is never refused for them, and only so many are kept', async () => {
    const strays = Array.from({ length: 60 }, (_, index) => says({ serviceType: `stray-${index}` }));
    await beat([...strays, says()]);
    const kept = await listed();
    expect([kept.length, kept.includes('vpn-exit')]).toEqual([33, true]);
    expect((await report({ serviceType: 'one-more' })).body.code).toBe('too_many_workloads');
    await beat([...strays.slice(40), says()]);
    expect(await listed()).toHaveLength(21);
    expect((await report({ serviceType: 'one-more' })).status).toBe(200);
  });

  it('that arrives late changes nothing, and looks at no workload', async () => {
    const first = node.heartbeat({ workloads: [says({ reportedState: 'starting' })] });
    await beat([says()]);
    await withLock(async () => created(await agent.post('/node-agents/me/heartbeat', first)));
    expect(await states()).toEqual(['running']);
  });

  it('that is taken in after a later one changes nothing', async () => {
    const early = { ...node.heartbeat(), workloads: [says({ reportedState: 'starting' })] } as never;
    const whole = { ...(early as object), clusterId: node.clusterId, nodeId: node.nodeId } as never;
    const [row] = await plane.app.get(HeartbeatsRepository).write([whole]);
    await beat([says()]);
    await plane.app.get(HeartbeatFollowers).follow(systemActor('test'), whole, row as never);
    expect(await states()).toEqual(['running']);
  });

  it('of a past instance changes nothing for some minutes, and is true after them', async () => {
    await beat([says({ instanceId: 'A' })]);
    await report({ instanceId: 'B', reportedState: 'starting' });
    await beat([says({ instanceId: 'A', reportedState: 'failed' })]);
    expect(await get()).toMatchObject({ instanceId: 'B', reportedState: 'starting' });
    await plane.database.query(
      `UPDATE node_service_instances SET instance_since = instance_since - interval '5 minutes' WHERE node_id = $1`,
      [node.nodeId],
    );
    // Says what the one before said, and is looked at all the same.
    await beat([says({ instanceId: 'A', reportedState: 'failed' })]);
    expect(await get()).toMatchObject({ instanceId: 'A', reportedState: 'failed' });
  });

  it.each<[string, object, string]>([
    ['an unknown state', { reportedState: 'dancing' }, '#/workloads/0/reportedState'],
    ['no instance', { instanceId: '' }, '#/workloads/0/instanceId'],
    ['a bad service type', { serviceType: 'Vpn' }, '#/workloads/0/serviceType'],
  ])('with %s is refused', async (_, more, pointer) => {
    const workloads = [{ ...says(), ...more }];
    const { status, body } = await agent.post('/node-agents/me/heartbeat', node.heartbeat({ workloads }));
    expect([status, body.errors[0].pointer]).toEqual([422, pointer]);
  });

  it('may say more of a workload than this version knows', async () => {
    await beat([{ ...says(), gpu: true } as Said]);
    expect((await get()).reportedState).toBe('running');
  });

  it('shares its statements with those of other nodes', async () => {
    const nodes = await several(12, () => admittedNode(plane, node.clusterId));
    const agents = await Promise.all(nodes.map((each) => each.api()));
    await withLock(async (session) => {
      const send = (index: number) =>
        agents[index]?.post('/node-agents/me/heartbeat', nodes[index]?.heartbeat({ workloads: [says()] }));
      // As many as are written at a time wait for the table; the others gather meanwhile.
      const answers = [send(0)];
      await session.untilWaiting(1);
      answers.push(send(1));
      await session.untilWaiting(2);
      for (let index = 2; index < nodes.length; index += 1) answers.push(send(index));
      for (let beaten = 0; beaten < nodes.length; ) {
        const [row] = await plane.database.query<{ beaten: number }>(
          'SELECT count(*)::int AS beaten FROM node_liveness WHERE cluster_id = $1',
          [node.clusterId],
        );
        beaten = row?.beaten ?? 0;
      }
      await session.query('COMMIT');
      expect(countByStatus((await Promise.all(answers)) as never)).toEqual({ 200: nodes.length });
    });
    const [row] = await plane.database.query<{ rows: number; transactions: number }>(
      `SELECT count(*)::int AS rows, count(DISTINCT xmin::text)::int AS transactions
         FROM node_service_instances WHERE cluster_id = $1 AND reported_state = 'running'`,
      [node.clusterId],
    );
    expect(row?.rows).toBe(nodes.length);
    expect(row?.transactions).toBeLessThan(nodes.length / 2);
  });
});

describe('a report of one workload', () => {
  beforeEach(freshExit);

  it('is kept and answered', async () => {
    const answer = await report({ version: '2', health: 'unhealthy', message: 'Probe failed.' });
    expect([answer.status, answer.body]).toEqual([
      200,
      {
        serviceType: 'vpn-exit',
        instanceId: 'A',
        reportedState: 'running',
        reportedVersion: '2',
        health: 'unhealthy',
        message: 'Probe failed.',
        reportedAt: (await get()).reportedAt,
      },
    ]);
    expect((await report({ version: '2', health: 'unhealthy', message: 'Probe failed.' })).body).toEqual(
      answer.body,
    );
    expect(await states()).toEqual(['running']);
  });

  it('of an instance that another has taken the place of is stale', async () => {
    await report({ instanceId: 'A' });
    await report({ instanceId: 'B' });
    const late = await report({ instanceId: 'A', reportedState: 'stopped', logTail: 'old' });
    expect([late.status, late.body.code]).toEqual([409, 'stale_report']);
    expect(await get()).toMatchObject({ instanceId: 'B', reportedState: 'running' });
    expect((await api.get(`${path}/workloads/vpn-exit/logs`)).status).toBe(404);
  });

  it('may come before the first heartbeat, and for a disabled node', async () => {
    await api.post(`${path}/disable`);
    expect((await report({ reportedState: 'stopped' })).status).toBe(200);
    expect(await get()).toMatchObject({ reportedState: 'stopped', outOfSyncReason: 'membership_disabled' });
  });

  it('is refused when it makes no sense', async () => {
    expect((await report({ reportedState: 'dancing' })).body.errors[0].pointer).toBe('#/reportedState');
    expect((await report({ serviceType: 'No' })).status).toBe(404);
    expect((await report({ logTail: 'x'.repeat(262_145) })).body.errors[0].pointer).toBe('#/logTail');
    expect((await report({}, api)).status).toBe(403);
  });

  it.each(['vpn-exit', 'stray'])(
    'of many at once of %s, on two instances, leaves a history that leads to what is known',
    async (serviceType) => {
      const beside = await startControlPlane({ beside: plane });
      try {
        const there = beside.api.as((await node.requestToken()).body.access_token);
        const reports = Array.from({ length: 24 }, (_, index) => {
          const as = index % 2 === 0 ? agent : there;
          const reportedState = REPORTED_STATES[index % REPORTED_STATES.length] ?? 'unknown';
          const said = { serviceType, reportedState };
          return index % 3 === 2 ? beat([says(said)], as) : report(said, as);
        });
        await Promise.all(reports);
        const entries = await history(serviceType);
        expect(entries[0].reportedState).toBe((await get(serviceType)).reportedState);
        for (const [index, entry] of entries.entries())
          expect(entry.previousState).toBe(entries[index + 1]?.reportedState ?? 'unknown');
      } finally {
        await beside.close();
      }
    },
  );

  it.each(['the node', 'the workload'])(
    'knows of one that came a moment before, even if nothing was known of %s',
    async (what) => {
      if (what === 'the workload') await report();
      // Lets both read, and neither write.
      await withLock(async (session) => {
        const reports = ['starting', 'running'].map((reportedState) =>
          report({ serviceType: 'stray', reportedState }),
        );
        await session.untilWaiting(2);
        await session.query('COMMIT');
        expect(countByStatus(await Promise.all(reports))).toEqual({ 200: 2 });
      }, 'LOCK TABLE node_service_instances IN SHARE MODE');
      const [last, first] = await history('stray');
      expect([first.previousState, last.previousState]).toEqual(['unknown', first.reportedState]);
      expect((await get('stray')).reportedState).toBe(last.reportedState);
    },
  );

  it('changes nothing of what is wanted, nor does that change what is reported', async () => {
    const columns = async (names: string) =>
      (
        await plane.database.query<{ columns: object }>(
          `SELECT to_jsonb(w) - $2::text[] AS columns FROM node_service_instances AS w WHERE node_id = $1`,
          [node.nodeId, names.split(' ')],
        )
      ).map((row) => row.columns);
    const observed =
      'service_instance_id reported_state reported_version health message reported_at state_since instance_since past_instance_ids in_sync is_failed';
    const desired =
      'desired_state runtime version config secret_refs health_check restart_policy when_control_plane_lost privileged privileged_approved_at privileged_approved_by_type privileged_approved_by_id desired_at desired_by_type desired_by_id in_sync is_failed';
    const wanted = await columns(observed);
    await beat([says({ version: '1', health: 'unhealthy', message: 'x' })]);
    await report({ instanceId: 'B', reportedState: 'failed' });
    expect(await columns(observed)).toEqual(wanted);
    const seen = await columns(desired);
    const body = { ...RUNNING, runtime: 'container', privileged: true, version: '7', config: { a: 1 } };
    created(await api.put(`${path}/workloads/vpn-exit`, body));
    created(await api.delete(`${path}/workloads/vpn-exit`));
    expect(await columns(desired)).toEqual(seen);
  });
});

describe('the history of a workload', () => {
  it('is read page by page, newest first', async () => {
    await freshExit();
    for (const reportedState of REPORTED_STATES.slice(1)) await report({ reportedState });
    const all = await states();
    expect(all).toEqual(REPORTED_STATES.slice(1).reverse());
    const seen: string[] = [];
    let cursor: string | null = '';
    while (cursor !== null) {
      const query: string = `limit=3${cursor === '' ? '' : `&cursor=${cursor}`}`;
      const { body } = await api.get(`${path}/workloads/vpn-exit/history?${query}`);
      seen.push(...body.items.map(({ reportedState }: Said) => reportedState));
      cursor = body.nextCursor;
    }
    expect(seen).toEqual(all);
  });

  it('is kept for a time and a number, and workloads of ended memberships for a time', async () => {
    await freshExit();
    await report({ logTail: 'x' });
    await plane.database.query(
      `INSERT INTO node_service_transitions (id, cluster_id, node_id, service_type, occurred_at, previous_state, reported_state)
       SELECT gen_random_uuid(), $1::uuid, $2::uuid, 'vpn-exit', now() - make_interval(mins => 10, secs => s), 'failed', 'starting' FROM generate_series(1, 520) AS s
       UNION ALL
       SELECT gen_random_uuid(), $1::uuid, $2::uuid, 'old', now() - make_interval(days => 28 + d), 'failed', 'starting' FROM generate_series(1, 4) AS d`,
      [node.clusterId, node.nodeId],
    );
    const left = async () =>
      await plane.database.query(
        `SELECT service_type AS type, count(*)::int AS rows FROM node_service_transitions WHERE node_id = $1 GROUP BY 1 ORDER BY 1`,
        [node.nodeId],
      );
    const retention = plane.app.get(WorkloadRetention);
    await retention.run();
    expect(await left()).toEqual([
      { type: 'old', rows: 1 },
      { type: 'vpn-exit', rows: 500 },
    ]);
    expect((await states())[0]).toBe('running');

    await api.post(`${path}/revoke`, { reason: 'Stolen.' });
    await retention.run();
    expect(await listed()).toEqual(['vpn-exit']);
    await plane.database.query(
      `UPDATE cluster_memberships SET revoked_at = now() - interval '31 days' WHERE node_id = $1`,
      [node.nodeId],
    );
    await retention.run();
    expect(await listed()).toEqual([]);
    expect((await api.get(`${path}/workloads/vpn-exit/logs`)).status).toBe(404);
  });
});

describe('the log of a workload', () => {
  beforeEach(freshExit);
  const log = async () => (await api.get(`${path}/workloads/vpn-exit/logs`)).body;

  it('is the tail that was reported last, without what acts on a terminal', async () => {
    await report({ logTail: 'first' });
    await report({ reportedState: 'failed', logTail: 'one\r\n\x1b[2Jtwo\x07\u202e\n' });
    expect(await log()).toEqual({
      serviceType: 'vpn-exit',
      instanceId: 'A',
      tail: 'one\ntwo\ufffd\ufffd',
      truncated: false,
      reportedAt: expect.stringMatching(/Z$/),
    });
    await report({ reportedState: 'failed' });
    expect((await log()).tail).toContain('two');
    await report({
      logTail: Array.from({ length: 300 }, (_, line) => `${line}: ${'é'.repeat(300)}`).join('\n'),
    });
    const { tail, truncated } = await log();
    expect([tail.endsWith(`299: ${'é'.repeat(300)}`), truncated]).toEqual([true, true]);
    expect(Buffer.byteLength(tail)).toBeLessThanOrEqual(65_536);
  });

  it('comes again with an unchanged report, and is gone with the workload', async () => {
    await report({ logTail: 'one' });
    await report({ logTail: 'two' });
    expect((await log()).tail).toBe('two');
    created(await api.delete(`${path}/workloads/vpn-exit`));
    expect((await log()).tail).toBe('two');
    await beat([]);
    expect((await log()).code).toBe('not_found');
  });

  it('is in no audit event and in no list', async () => {
    await report({ logTail: 'unmistakable', reportedState: 'failed' });
    await plane.app.get(HealthWatch).sweep();
    const texts = [
      await plane.database.query('SELECT * FROM audit_events WHERE cluster_id = $1', [node.clusterId]),
      (await api.get(`/clusters/${node.clusterId}/workloads`)).body,
      await history(),
    ];
    expect(JSON.stringify(texts)).not.toContain('unmistakable');
  });
});

describe('a failed workload', () => {
  beforeEach(freshExit);
  const view = async () => (await api.get(path)).body;

  it.each<[string, Said]>([
    ['that its agent reports as failed', { reportedState: 'failed' }],
    ['whose check says that it is unhealthy', { health: 'unhealthy' }],
  ])('%s makes an online node a degraded one', async (_, said) => {
    await beat([says()]);
    expect(await view()).toMatchObject({ health: 'online', riskyStates: [] });
    await beat([says(said)]);
    expect(await view()).toMatchObject({ health: 'degraded', riskyStates: ['workload_failed'] });
    const inCluster = async (rest: string) => (await api.get(`/clusters/${node.clusterId}${rest}`)).body;
    expect((await inCluster('/nodes?filter=riskyState = "workload_failed"')).items).toHaveLength(1);
    expect((await inCluster('/nodes?health=degraded')).items).toHaveLength(1);
    expect(await inCluster('/summary')).toMatchObject({
      nodes: { degraded: 1, online: 0 },
      riskyStates: [{ kind: 'workload_failed', resource: { id: node.nodeId }, severity: 'warning' }],
    });
    await plane.app.get(HealthWatch).sweep();
    const { items } = (await api.get(`${path}/timeline`)).body;
    expect(items[0]).toMatchObject({
      action: 'node.health_changed',
      after: { health: 'degraded', riskyStates: ['workload_failed'] },
    });
    await beat([says()]);
    expect(await view()).toMatchObject({ health: 'online', riskyStates: [] });
  });

  it('that nobody wants, that should not run, or that is on a disabled node, does not', async () => {
    await beat([says({ serviceType: 'stray', reportedState: 'failed' }), says()]);
    expect((await view()).riskyStates).toEqual([]);
    await beat([says({ reportedState: 'failed' })]);
    created(await api.put(`${path}/workloads/vpn-exit`, { ...RUNNING, desiredState: 'stopped' }));
    expect((await view()).riskyStates).toEqual([]);
    created(await api.put(`${path}/workloads/vpn-exit`, RUNNING));
    expect((await view()).riskyStates).toEqual(['workload_failed']);
    created(await api.post(`${path}/disable`));
    expect((await view()).riskyStates).toEqual([]);
  });
});

describe('the database', () => {
  it('says as the rule does whether a workload is in sync, whatever is wanted and reported', async () => {
    await freshNode();
    const text = fc.option(fc.constantFrom('1', '2', '1.0'), { nil: null });
    const row = fc.record({
      desiredState: fc.option(fc.constantFrom('running' as const, 'stopped' as const), { nil: null }),
      version: text,
      reportedState: fc.constantFrom(...REPORTED_STATES),
      reportedVersion: text,
      health: fc.option(fc.constantFrom(...WORKLOAD_HEALTH), { nil: null }),
    });
    const rows = fc.sample(row, 400).map((each, index) => ({
      ...each,
      version: each.desiredState === null ? null : each.version,
      type: `w${index}`,
    }));
    await plane.database.query(
      `INSERT INTO node_service_instances (cluster_id, node_id, service_type, created_at, desired_state, runtime, version,
              config, secret_refs, restart_policy, when_control_plane_lost, privileged, desired_at, desired_by_type,
              desired_by_id, reported_state, reported_version, health, reported_at)
       SELECT $1, $2, r.type, now(), r."desiredState", v.runtime, r.version, v.json, v.json, v.restarts, v.keep, v.no, v.at, v.by, v.by,
              r."reportedState", r."reportedVersion", r.health, now()
         FROM jsonb_to_recordset($3) AS r (type text, "desiredState" text, version text, "reportedState" text,
                                           "reportedVersion" text, health text)
         LEFT JOIN (VALUES ('native', '{}'::jsonb, $4::jsonb, 'keep', false, now(), 'test')) AS v (runtime, json, restarts, keep, no, at, by)
           ON r."desiredState" IS NOT NULL`,
      [node.clusterId, node.nodeId, JSON.stringify(rows), JSON.stringify(RESTARTS)],
    );
    const stored = await plane.database.query<{ type: string; inSync: boolean; isFailed: boolean }>(
      `SELECT service_type AS type, in_sync AS "inSync", is_failed AS "isFailed" FROM node_service_instances
        WHERE node_id = $1 ORDER BY substr(service_type, 2)::int`,
      [node.nodeId],
    );
    const expected = rows.map(({ type, desiredState, version, ...observed }) => ({
      type,
      inSync: isInSync(desiredState === null ? null : { desiredState, version }, observed),
      isFailed:
        desiredState === 'running' &&
        (observed.reportedState === 'failed' || observed.health === 'unhealthy'),
    }));
    expect(stored).toEqual(expected);
    expect(new Set(expected.map(({ inSync }) => inSync)).size).toBe(2);
    for (const inSync of [true, false]) {
      const { body } = await api.get(`${path}/workloads?inSync=${inSync}&limit=200`);
      const shown = body.items.map((item: Said & { inSync: boolean }) => item.inSync);
      expect(new Set(shown)).toEqual(new Set([inSync]));
    }
  });

  it('finds by an index what lists filter by, among many nodes', async () => {
    const { id: clusterId } = await given(plane).cluster();
    await plane.database.query(
      `WITH made AS (INSERT INTO nodes (id) SELECT gen_random_uuid() FROM generate_series(1, 4000) RETURNING id),
       members AS (INSERT INTO cluster_memberships (cluster_id, node_id, name, os, arch)
         SELECT $1, m.id, 'n' || row_number() OVER (), 'linux', 'x64' FROM made AS m RETURNING node_id)
       SELECT count(*) FROM members`,
      [clusterId],
    );
    await plane.database.query(
      `INSERT INTO node_service_instances (cluster_id, node_id, service_type, created_at, desired_state, runtime, config,
              secret_refs, restart_policy, when_control_plane_lost, privileged, desired_at, desired_by_type, desired_by_id,
              reported_state, reported_at)
       SELECT $1, m.node_id, t.type, now() - make_interval(secs => t.place), 'running', 'native', '{}', '{}', '{}', 'keep', false, now(), 't', 't',
              CASE WHEN t.type = 'vpn-exit' AND m.name = 'n7' THEN 'failed' ELSE 'running' END, now()
         FROM cluster_memberships AS m CROSS JOIN (VALUES ('vpn-exit', 1), ('core-mesh', 2), ('entry-node', 3)) AS t (type, place)
        WHERE m.cluster_id = $1`,
      [clusterId],
    );
    await plane.database.query('ANALYZE node_service_instances, cluster_memberships');
    const repository = plane.app.get(WorkloadsRepository);
    /** Rows of the table that a list reads, by the plan as it was executed. */
    const rowsRead = async (filter: Parameters<WorkloadsRepository['list']>[2]): Promise<number> => {
      let plan: PlanNode | undefined;
      const query = async <T>(statement: Sql): Promise<T[]> => {
        const text = `EXPLAIN (ANALYZE, FORMAT JSON) ${statement.text}`;
        const [row] = await plane.database.query<{ 'QUERY PLAN': [{ Plan: PlanNode }] }>(
          text,
          statement.values,
        );
        plan = row?.['QUERY PLAN'][0].Plan;
        return [];
      };
      await repository.list({ now: new Date(), query }, clusterId, filter, null, 50);
      return plan === undefined ? Number.NaN : readFrom(plan, 'node_service_instances');
    };
    for (const filter of [
      {},
      { inSync: false },
      { inSync: true },
      { reportedState: 'failed' as const },
      { reportedState: 'running' as const },
      { serviceType: 'core-mesh' },
      { serviceType: 'vpn-exit', inSync: false },
      { serviceType: 'vpn-exit', inSync: true },
    ])
      expect([filter, (await rowsRead(filter)) <= 60]).toEqual([filter, true]);
  });
});

interface PlanNode {
  'Relation Name'?: string;
  'Actual Rows': number;
  'Actual Loops': number;
  'Rows Removed by Filter'?: number;
  Plans?: PlanNode[];
}

function readFrom(plan: PlanNode, table: string): number {
  const here = (plan['Actual Rows'] + (plan['Rows Removed by Filter'] ?? 0)) * plan['Actual Loops'];
  const below = (plan.Plans ?? []).reduce((sum, child) => sum + readFrom(child, table), 0);
  return below + (plan['Relation Name'] === table ? here : 0);
}
