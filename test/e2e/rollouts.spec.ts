import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { EventStreams } from '../../src/common/changes/event-streams.js';
import { sql } from '../../src/common/database/sql.js';
import { systemActor } from '../../src/common/request/actor.js';
import { Transactor } from '../../src/common/transaction/transactor.js';
import { RolloutsRepository } from '../../src/modules/rollouts/rollouts.repository.js';
import type { Answer } from '../support/api.js';
import { countByStatus } from '../support/applicant.js';
import { type ControlPlane, startControlPlane } from '../support/control-plane.js';
import { type EventSource, openEventSource, type SentEvent } from '../support/event-source.js';
import { created } from '../support/given.js';
import { crowd } from '../support/rollouts/crowd.js';
import { RolloutStage, type ToldUpdate, type UpdatingNode } from '../support/rollouts/stage.js';

let plane: ControlPlane;
/** Another instance on the same database. */
let beside: ControlPlane;
/** Follows a rollout to which nothing happens, from the first test to the last. */
let quiet: EventSource;
beforeAll(async () => {
  // A tick that came at the wrong moment would do what the test looks at before.
  plane = await startControlPlane({ config: { role: 'api' } });
  beside = await startControlPlane({ beside: plane, config: { role: 'api' } });
  const stage = await RolloutStage.open(plane, 1);
  quiet = await follow(stage, await stage.draft());
});
afterAll(async () => {
  quiet?.close();
  await beside?.close();
  await plane?.close();
});

/** Follows a rollout as the platform's owner, from now on, unless told otherwise. */
function follow(
  { path }: RolloutStage,
  id: string,
  {
    at = plane,
    token = plane.ownerToken,
    ...headers
  }: { at?: ControlPlane; token?: string } & Record<string, unknown> = {},
): Promise<EventSource> {
  const sent = { authorization: `Bearer ${token}`, ...(headers as Record<string, string>) };
  return openEventSource(`${at.url}/api/v1${path}/${id}/events`, sent);
}

const refusal = ({ status, body: { code } }: Answer) => [status, code];
const CANARY = [
  { name: 'canary', count: 1, soakSeconds: 60 },
  { name: 'rest', percent: 100 },
];
const told = async (node: UpdatingNode | undefined): Promise<ToldUpdate> => {
  const update = (await node?.told()) ?? null;
  if (update === null) throw new Error('the node is told of no update');
  return update;
};
type Pair = [UpdatingNode, ToldUpdate];
const versions = ({ nodes }: RolloutStage) => nodes.map(({ installed }) => installed);
const sleeping = async (stage: RolloutStage) =>
  (await Promise.all(stage.nodes.map((node) => node.told()))).every((update) => update === null);

describe('a rollout', () => {
  it('is planned and drafted alike, and changes nothing before it starts', async () => {
    const stage = await RolloutStage.open(plane, 3);
    const body = stage.body({ waves: CANARY });
    const plan = created(await plane.api.post(`${stage.path}/plan`, body)) as {
      planHash: string;
      waves: { name: string; nodes: { nodeId: string; fromVersion: string }[] }[];
    };
    expect(plan.waves.map(({ name, nodes }) => [name, nodes.length])).toEqual([
      ['canary', 1],
      ['rest', 2],
    ]);
    const answer = await plane.api.post(stage.path, body);
    expect(answer.status).toBe(201);
    expect(answer.headers.get('location')).toBe(`/api/v1${stage.path}/${answer.body.id}`);
    expect(answer.body).toMatchObject({ state: 'draft', stateReason: null, planHash: plan.planHash });
    const nodes = (
      created(await plane.api.get(`${stage.path}/${answer.body.id}/nodes`)) as {
        items: { wave: string; nodeId: string }[];
      }
    ).items;
    const planned = plan.waves.flatMap(({ name, nodes: members }) =>
      members.map(({ nodeId }) => [nodeId, name]),
    );
    expect(nodes.map(({ nodeId, wave }) => [nodeId, wave])).toEqual(planned.sort());
    await stage.tick();
    expect(await sleeping(stage)).toBe(true);
  });

  describe('to nodes of several systems', () => {
    const rest = { name: 'rest', percent: 100 };
    const target = { targetVersion: '3.0.0' };
    let stage: RolloutStage;
    let systemOf: Map<string, string>;
    beforeAll(async () => {
      stage = await RolloutStage.open(plane);
      await stage.publisher.releaseFor('3.0.0', ['linux/x64', 'linux/arm64', 'windows/x64']);
      // There is no file for the Mac.
      await crowd(plane, stage.clusterId, 66, { 'linux/arm64': 3, 'windows/x64': 2, 'darwin/arm64': 1 });
      const members = await plane.database.query<{ id: string; system: string }>(
        `SELECT node_id AS id, os || '/' || arch AS system FROM cluster_memberships WHERE cluster_id = $1`,
        [stage.clusterId],
      );
      systemOf = new Map(members.map(({ id, system }) => [id, system]));
    });

    it('tries its version on each of them first', async () => {
      type Plan = { waves: { nodes: { nodeId: string }[] }[]; untriedPlatforms: string[] };
      const planned = async (first: object) => {
        const body = stage.body({ waves: [{ name: 'first', ...first }, rest] }, target);
        const { waves, untriedPlatforms } = created(await plane.api.post(`${stage.path}/plan`, body)) as Plan;
        const systems = waves[0]?.nodes.map(({ nodeId }) => systemOf.get(nodeId)) ?? [];
        return [systems.length, [...new Set(systems)].sort(), untriedPlatforms];
      };
      const all = ['linux/arm64', 'linux/x64', 'windows/x64'];
      // Of 65 nodes one in twenty is four.
      expect(await planned({ percent: 5 })).toEqual([4, all, []]);
      expect(await planned({ percent: 1 })).toEqual([3, all, []]);
      expect(await planned({ count: 1 })).toEqual([3, all, []]);
      expect(await planned({ count: 12 })).toEqual([12, all, []]);
      // Who is named goes, and nobody else: what is not tried by that is said.
      const [named] = [...systemOf].find(([, system]) => system === 'windows/x64') ?? [];
      const selected = await planned({ selector: { nodeIds: [named] } });
      expect(selected).toEqual([1, ['windows/x64'], ['linux/arm64', 'linux/x64']]);
    });

    it('begins with other nodes than the rollout before it', async () => {
      const canaries = async () => {
        const id = await stage.draft({ waves: [{ name: 'first', count: 12 }, rest] }, target);
        const page = created(await plane.api.get(`${stage.path}/${id}/nodes?limit=200`)) as Answer['body'];
        const nodes = page.items as { nodeId: string; wave: string | null }[];
        return nodes.filter(({ wave }) => wave === 'first').map(({ nodeId }) => nodeId);
      };
      // Twelve of 65: that two salts choose the same is once in a billion.
      const [one, other] = [await canaries(), await canaries()];
      expect([one.length, other.length]).toEqual([12, 12]);
      expect(one).not.toEqual(other);
    });
  });

  it('goes wave by wave, one node at a time, and says why', async () => {
    const stage = await RolloutStage.open(plane, 3);
    const id = await stage.started({ waves: CANARY });
    await stage.run();
    expect((await stage.rollout(id)).waves.map(({ state }: { state: string }) => state)).toEqual([
      'soaking',
      'pending',
    ]);
    await stage.advance(61);
    await stage.run();
    expect(await stage.rollout(id)).toMatchObject({ state: 'succeeded', updateStates: { running: 3 } });
    expect(versions(stage)).toEqual(['2.0.0', '2.0.0', '2.0.0']);
    const steps = (await stage.decisions(id)).map(({ wave, rule, toState }) => [wave, rule, toState]);
    const ofWave = (name: string) =>
      steps.filter(([wave]) => wave === name).map(([, rule, to]) => `${rule} > ${to}`);
    const all = [
      'dependencies_done > gated',
      'wave_opened > active',
      'wave_closed > soaking',
      'soaked > done',
    ];
    expect([ofWave('canary'), ofWave('rest')]).toEqual([all, all]);
    expect(steps.at(0)).toEqual([null, 'started', 'running']);
    const last = (await stage.decisions(id)).find(({ rule }) => rule === 'soaked');
    expect(last?.inputs.evidence).toMatchObject({
      counted: 1,
      successes: 1,
      failures: 0,
      neededSuccesses: 1,
    });
  });

  it('never lets more nodes out of service than it may, however they crowd', async () => {
    const stage = await RolloutStage.open(plane, 5);
    await stage.started({ maxUnavailable: 2 });
    const updates = await Promise.all(stage.nodes.map(told));
    const granted = await Promise.all(
      stage.nodes.map((node, index) => node.prepare(updates[index] as ToldUpdate)),
    );
    expect(granted.filter((may) => may)).toHaveLength(2);
    const rush = stage.nodes.map((node, index) => node.report(updates[index] as ToldUpdate, 'starting'));
    expect(countByStatus(await Promise.all(rush))).toEqual({ 200: 2, 422: 3 });
    await Promise.all([stage.tick(), stage.tick(), stage.tick()]);
    const [slots] = await plane.database.query<{ slots: string }>(
      'SELECT count(*) AS slots FROM update_slots WHERE cluster_id = $1',
      [stage.clusterId],
    );
    expect(slots?.slots).toBe('2');
  });

  it('serves a node exactly the file that it is told of', async () => {
    const stage = await RolloutStage.open(plane, 1);
    const [node] = stage.nodes;
    await stage.started();
    const { artifact } = await told(node);
    const path = artifact.path.replace('/api/v1', '');
    expect((await node?.api.get(path))?.status).toBe(200);
    created(await plane.api.post(stage.publisher.path('2.0.0', '/block'), { reason: 'Loses data.' }));
    expect((await node?.api.get(path))?.status).toBe(404);
  });

  it('keeps no node from saying that it is alive, or asking what to do, while something is decided', async () => {
    const stage = await RolloutStage.open(plane, 3);
    const id = await stage.started();
    const [node] = stage.nodes;
    await node?.prepare(await told(node));
    const rows = () =>
      plane.database.query(
        `SELECT 'rollout' AS of, r.xmin::text FROM rollouts AS r WHERE r.id = $1
         UNION ALL SELECT a.node_id::text, a.xmin::text FROM rollout_assignments AS a WHERE a.rollout_id = $1
         UNION ALL SELECT 'slot', s.xmin::text FROM update_slots AS s JOIN rollout_assignments AS a ON a.id = s.assignment_id
                    WHERE a.rollout_id = $1 ORDER BY 1`,
        [id],
      );
    const etag = async () => (await plane.api.get(`${stage.path}/${id}`)).headers.get('etag');
    const before = [await rows(), await etag()];
    const [product] = await plane.database.query<{ id: string }>(
      'SELECT r.product_id AS id FROM rollouts AS r WHERE r.id = $1',
      [id],
    );
    const rollouts = plane.app.get(RolloutsRepository);
    await plane.app.get(Transactor).observe(systemActor('test'), async (tx) => {
      await rollouts.lockProduct(tx, stage.clusterId, product?.id ?? '');
      for (const locked of [
        sql`SELECT r.id FROM rollouts AS r WHERE r.id = ${id}::uuid FOR UPDATE`,
        sql`SELECT a.id FROM rollout_assignments AS a WHERE a.rollout_id = ${id}::uuid FOR UPDATE`,
        sql`SELECT s.node_id FROM update_slots AS s WHERE s.cluster_id = ${stage.clusterId}::uuid FOR UPDATE`,
      ])
        expect((await tx.query(locked)).length).toBeGreaterThan(0);
      // Whoever waited for any of it would wait until this transaction is ended since nothing happens in it.
      for (const { api } of [plane, beside])
        for (const each of stage.nodes) {
          await each.beat();
          created(await each.api.get('/node-agents/me/snapshot'));
          created(await api.get(`/clusters/${stage.clusterId}/nodes/${each.id}`));
        }
      return { result: undefined };
    });
    expect([await rows(), await etag()]).toEqual(before);
  });

  it('takes every node back to its own version when too many fail', async () => {
    const stage = await RolloutStage.open(plane, 3);
    const id = await stage.started({ waves: CANARY, autoRollback: true });
    await stage.run();
    await stage.advance(61);
    await stage.run((_, { toVersion }) => toVersion === '2.0.0');
    expect(await stage.rollout(id)).toMatchObject({ state: 'rolled_back' });
    expect(versions(stage)).toEqual(['1.0.0', '1.0.0', '1.0.0']);
    const started = (await stage.decisions(id)).find(({ toState }) => toState === 'rolling_back');
    expect(started).toMatchObject({ rule: 'error_threshold', wave: 'rest' });
  });

  it('pauses otherwise, and goes on only for who names the decision', async () => {
    const stage = await RolloutStage.open(plane, 2);
    const id = await stage.started({ failureThresholdPercent: 0, successThresholdPercent: 50 });
    const [first] = stage.nodes;
    let failed = false;
    await stage.run(() => {
      const isFirst = !failed;
      failed = true;
      return isFirst;
    });
    const paused = await stage.rollout(id);
    expect(paused).toMatchObject({ state: 'paused', stateReason: 'error_threshold' });
    expect(first).toBeDefined();
    expect(refusal(await stage.act(id, 'resume'))).toEqual([409, 'acknowledgement_required']);
    const other = { acknowledge: stage.clusterId };
    expect(refusal(await stage.act(id, 'resume', other))).toEqual([409, 'acknowledgement_required']);
    created(await stage.act(id, 'resume', { acknowledge: paused.pausedByDecisionId }));
    await stage.run();
    expect((await stage.rollout(id)).state).toBe('succeeded');
    expect(versions(stage).sort()).toEqual(['1.0.0', '2.0.0']);
  });

  it('grants nothing in a pause, and lets those finish that are out of service', async () => {
    const stage = await RolloutStage.open(plane, 2);
    const id = await stage.started();
    const [one, other] = stage.nodes;
    const [first, second] = [await told(one), await told(other)];
    expect(await one?.prepare(first)).toBe(true);
    created(await stage.act(id, 'pause'));
    await one?.change(first);
    expect(await other?.prepare(second)).toBe(false);
    await stage.tick();
    expect(refusal((await other?.report(second, 'starting')) as Answer)).toEqual([422, 'invalid_transition']);
    created(await stage.act(id, 'resume'));
    await other?.change({ ...second, phase: 'granted' });
    await stage.tick();
    expect((await stage.rollout(id)).state).toBe('succeeded');
  });

  it('goes back after it has succeeded', async () => {
    const stage = await RolloutStage.open(plane, 2);
    const id = await stage.started({ maxUnavailable: 2 });
    await stage.run();
    expect((await stage.rollout(id)).state).toBe('succeeded');
    created(await stage.act(id, 'rollback'));
    await stage.run();
    expect((await stage.rollout(id)).state).toBe('rolled_back');
    expect(versions(stage)).toEqual(['1.0.0', '1.0.0']);
  });

  it('goes back from a version that is blocked, at once', async () => {
    const stage = await RolloutStage.open(plane, 2);
    const id = await stage.started({ waves: CANARY });
    await stage.run();
    created(await plane.api.post(stage.publisher.path('2.0.0', '/block'), { reason: 'Loses data.' }));
    expect(await stage.rollout(id)).toMatchObject({ state: 'rolling_back', stateReason: 'version_blocked' });
    await stage.run();
    expect((await stage.rollout(id)).state).toBe('rolled_back');
    expect(versions(stage)).toEqual(['1.0.0', '1.0.0']);
    expect(refusal(await stage.act(await stage.draft(), 'start'))).toEqual([409, 'release_blocked']);
  });

  it('stays finished when its version is blocked beside another one, and its nodes leave by the slots of that', async () => {
    const stage = await RolloutStage.open(plane, 3);
    const done = await stage.started({ maxUnavailable: 3 });
    await stage.run();
    await stage.publisher.release('3.0.0');
    const next = await stage.started(
      { waves: [{ name: 'later', percent: 100, requiresApproval: true }] },
      { targetVersion: '3.0.0' },
    );
    created(await plane.api.post(stage.publisher.path('2.0.0', '/block'), { reason: 'Loses data.' }));
    expect((await stage.rollout(done)).state).toBe('succeeded');
    const updates = await Promise.all(stage.nodes.map(told));
    expect(updates.map(({ toVersion }) => toVersion)).toEqual(['1.0.0', '1.0.0', '1.0.0']);
    const granted = await Promise.all(
      stage.nodes.map((node, index) => node.prepare(updates[index] as ToldUpdate)),
    );
    expect(granted.filter((may) => may)).toHaveLength(1);
    const [first] = stage.nodes.filter((_, index) => granted[index]);
    await first?.change(updates[granted.indexOf(true)] as ToldUpdate);
    await stage.run();
    expect(versions(stage)).toEqual(['1.0.0', '1.0.0', '1.0.0']);
    expect([(await stage.rollout(done)).state, (await stage.rollout(next)).state]).toEqual([
      'succeeded',
      'running',
    ]);
    expect((await stage.decisions(done)).at(-1)).toMatchObject({
      rule: 'version_blocked',
      toState: 'succeeded',
    });
  });

  it('stays cancelled when its version is blocked, and those that had gone with it leave', async () => {
    const stage = await RolloutStage.open(plane, 3);
    const id = await stage.started({ waves: CANARY });
    await stage.tick();
    const canaries = (await Promise.all(stage.nodes.map((node) => node.told()))).map(
      (update) => update !== null,
    );
    expect(canaries.filter((is) => is)).toHaveLength(1);
    const canary = stage.nodes[canaries.indexOf(true)] as UpdatingNode;
    const update = await told(canary);
    expect(await canary.prepare(update)).toBe(true);
    await canary.change(update);
    created(await stage.act(id, 'cancel'));
    created(await plane.api.post(stage.publisher.path('2.0.0', '/block'), { reason: 'Loses data.' }));
    await stage.run();
    expect(versions(stage)).toEqual(['1.0.0', '1.0.0', '1.0.0']);
    expect((await stage.rollout(id)).state).toBe('cancelled');
    expect((await stage.decisions(id)).at(-1)).toMatchObject({
      rule: 'version_blocked',
      reason: 'cancelled',
      toState: 'cancelled',
    });
  });

  it('is not taken back from nodes that have gone on to another version, or are about to', async () => {
    const stage = await RolloutStage.open(plane, 3);
    const done = await stage.started({ maxUnavailable: 3 });
    await stage.run();
    await stage.publisher.release('3.0.0');
    const waves = [
      { name: 'first', count: 2 },
      { name: 'later', percent: 100, requiresApproval: true },
    ];
    await stage.started({ waves, maxUnavailable: 2 }, { targetVersion: '3.0.0' });
    await stage.tick();
    const ofFirst = (
      await Promise.all(stage.nodes.map(async (node) => [node, await node.told()] as const))
    ).filter((pair): pair is Pair => pair[1] !== null);
    expect(ofFirst).toHaveLength(2);
    for (const [node, update] of ofFirst) expect(await node.prepare(update)).toBe(true);
    const [[gone, there], [going, thither]] = ofFirst as [Pair, Pair];
    await gone.change(there);
    created(await going.report(thither, 'starting'));
    created(await plane.api.post(stage.publisher.path('2.0.0', '/block'), { reason: 'Loses data.' }));
    for (const state of ['health_checking', 'promoting', 'running'])
      created(await going.report(thither, state));
    await stage.run();
    expect([await gone.told(), await going.told()]).toEqual([null, null]);
    const { items } = created(await plane.api.get(`${stage.path}/${done}/nodes`)) as {
      items: { nodeId: string; direction: string; state: string; stateReason: string | null }[];
    };
    const ends = items.map(({ nodeId, direction, state, stateReason }) =>
      [nodeId, direction, state, stateReason].join(' '),
    );
    const stayed = stage.nodes.find(({ id }) => id !== gone.id && id !== going.id);
    expect(ends.sort()).toEqual(
      [
        `${gone.id} forward rolled_back moved_on`,
        `${going.id} forward rolled_back moved_on`,
        `${going.id} back cancelled moved_on`,
        `${stayed?.id} forward rolled_back `,
        `${stayed?.id} back ok `,
      ].sort(),
    );
    expect(stayed?.installed).toBe('1.0.0');
  });

  it('is the only unfinished one of its product, drafts aside', async () => {
    const stage = await RolloutStage.open(plane, 1);
    const [one, other] = [await stage.draft(), await stage.draft()];
    const answers = await Promise.all([one, other].map((id) => stage.act(id, 'start')));
    expect(countByStatus(answers)).toEqual({ 200: 1, 409: 1 });
    expect(answers.map(refusal)).toContainEqual([409, 'rollout_in_progress']);
  });

  it('waits for the approvals that the policy asks for, none of them by its author', async () => {
    const stage = await RolloutStage.open(plane, 1);
    created(await plane.api.put(`/clusters/${stage.clusterId}/policy`, { rolloutApprovals: 1 }));
    const id = await stage.draft();
    expect(refusal(await stage.act(id, 'start'))).toEqual([409, 'rollout_state_conflict']);
    expect((await stage.act(id, 'submit')).body.state).toBe('pending_approval');
    expect(refusal(await stage.act(id, 'approve'))).toEqual([403, 'author_may_not_approve']);
    expect(refusal(await stage.act(id, 'start'))).toEqual([409, 'rollout_state_conflict']);
    const { token } = created(
      await plane.api.post('/api-tokens', { name: 'other', role: 'platform-operator' }),
    ) as { token: string };
    const approved = await plane.api.as(token).post(`${stage.path}/${id}/approve`);
    expect([approved.status, approved.body.state]).toEqual([200, 'approved']);
    expect((await stage.act(id, 'start')).body.state).toBe('running');
  });

  it('goes on by itself when the policy comes to ask for no more approvals than it has', async () => {
    const stage = await RolloutStage.open(plane, 1);
    const policy = `/clusters/${stage.clusterId}/policy`;
    created(await plane.api.put(policy, { rolloutApprovals: 3 }));
    const id = await stage.draft();
    created(await stage.act(id, 'submit'));
    const { token } = created(
      await plane.api.post('/api-tokens', { name: 'one', role: 'platform-operator' }),
    ) as { token: string };
    created(await plane.api.as(token).post(`${stage.path}/${id}/approve`));
    created(await plane.api.put(policy, { rolloutApprovals: 2 }));
    await stage.tick();
    expect((await stage.rollout(id)).state).toBe('pending_approval');
    created(await plane.api.put(policy, { rolloutApprovals: 1 }));
    await Promise.all([stage.tick(), stage.tick()]);
    expect((await stage.rollout(id)).state).toBe('approved');
    const decisions = created(await plane.api.get(`${stage.path}/${id}/decisions`)) as {
      items: { rule: string; decidedBy: { type: string }; inputs: object }[];
    };
    expect(decisions.items).toHaveLength(2);
    expect(decisions.items[0]).toMatchObject({
      rule: 'approvals_complete',
      decidedBy: { type: 'system' },
      inputs: { approvals: 1, rolloutApprovals: 1 },
    });
  });

  it('waits at a wave for its approval', async () => {
    const stage = await RolloutStage.open(plane, 1);
    const id = await stage.started({ waves: [{ name: 'all', percent: 100, requiresApproval: true }] });
    await stage.tick();
    expect(await sleeping(stage)).toBe(true);
    expect((await stage.act(id, 'waves/none/approve')).status).toBe(404);
    created(await stage.act(id, 'waves/all/approve'));
    await stage.run();
    expect((await stage.rollout(id)).state).toBe('succeeded');
  });

  it('takes nobody for away since the recorded time is ahead, and a silent node for away all the same', async () => {
    const stage = await RolloutStage.open(plane, 2);
    await stage.advance(600);
    const id = await stage.started({ maxUnavailable: 2 });
    const counts = async () => (await stage.rollout(id)).waves[0].counts;
    expect(await counts()).toEqual({ offered: 2 });
    await stage.silence(stage.nodes[0] as UpdatingNode);
    await stage.tick();
    expect(await counts()).toEqual({ offered: 1, deferred: 1 });
    created(await stage.act(id, 'cancel'));
  });

  it('leaves nodes that are away for later, and does not call their absence a success', async () => {
    const stage = await RolloutStage.open(plane, 2);
    const away = stage.nodes[1] as UpdatingNode;
    await stage.silence(away);
    const id = await stage.started();
    await stage.run();
    expect(await stage.rollout(id)).toMatchObject({
      state: 'succeeded_with_deferred',
      waves: [{ counts: { ok: 1, deferred: 1 } }],
    });
    expect(away.installed).toBe('1.0.0');
    const empty = await RolloutStage.open(plane, 1);
    await empty.silence(empty.nodes[0] as UpdatingNode);
    const alone = await empty.started();
    await empty.tick();
    expect(await empty.rollout(alone)).toMatchObject({ state: 'paused', stateReason: 'no_evidence' });
  });

  it('keeps the place of a node that is lost, until somebody writes it off; what it says then is late', async () => {
    const stage = await RolloutStage.open(plane, 2);
    const [silent, other] = stage.nodes;
    const id = await stage.started({
      nodeDeadlineSeconds: 60,
      failureThresholdPercent: 50,
      successThresholdPercent: 50,
    });
    const [lost, waiting] = [await told(silent), await told(other)];
    await silent?.prepare(lost);
    created((await silent?.report(lost, 'starting')) as Answer);
    await other?.prepare(waiting);
    await stage.advance(61);
    await stage.tick();
    expect(await stage.rollout(id)).toMatchObject({ state: 'paused', stateReason: 'slots_exhausted' });
    expect(refusal(await stage.act(id, 'resume'))).toEqual([409, 'rollout_state_conflict']);
    expect(refusal(await stage.act(id, `nodes/${other?.id}/write-off`, { reason: 'Gone.' }))).toEqual([
      409,
      'node_not_lost',
    ]);
    created(await stage.act(id, `nodes/${silent?.id}/write-off`, { reason: 'Burnt down.' }));
    expect(refusal((await silent?.report(lost, 'health_checking')) as Answer)).toEqual([409, 'stale_report']);
    created(await stage.act(id, 'resume'));
    await stage.run();
    expect((await stage.rollout(id)).state).toBe('succeeded');
  });

  it('takes a fenced node back into its hands when an operator says so', async () => {
    const stage = await RolloutStage.open(plane, 1);
    const [node] = stage.nodes;
    const id = await stage.started();
    const update = await told(node);
    await node?.prepare(update);
    for (const state of ['starting', 'rollback_required', 'fenced'])
      created((await node?.report(update, state)) as Answer);
    expect(refusal((await node?.report(update, 'idle')) as Answer)).toEqual([422, 'invalid_transition']);
    expect((await stage.rollout(id)).waves[0].counts).toEqual({ fenced: 1 });
    created(await stage.act(id, `nodes/${node?.id}/unfence`, { reason: 'Reinstalled.' }));
    expect(refusal((await node?.report(update, 'checking')) as Answer)).toEqual([409, 'stale_report']);
    expect(refusal(await stage.act(id, `nodes/${node?.id}/unfence`, { reason: 'Again.' }))).toEqual([
      409,
      'node_not_fenced',
    ]);
  });

  it('hears each report once, in order, of the node that it told', async () => {
    const stage = await RolloutStage.open(plane, 2);
    await stage.started();
    const [node, other] = stage.nodes;
    const update = await told(node);
    const report = { sequence: 3 };
    expect((await node?.report(update, 'checking', report))?.status).toBe(200);
    expect((await node?.report(update, 'checking', report))?.status).toBe(200);
    expect(refusal((await node?.report(update, 'downloading', { sequence: 2 })) as Answer)).toEqual([
      409,
      'stale_report',
    ]);
    expect(refusal((await node?.report(update, 'running', { sequence: 4 })) as Answer)).toEqual([
      422,
      'invalid_transition',
    ]);
    expect((await other?.report(update, 'checking'))?.status).toBe(404);
  });

  it('counts a node no more that leaves the cluster, and frees its place', async () => {
    const stage = await RolloutStage.open(plane, 2);
    const [leaving, other] = stage.nodes;
    const id = await stage.started();
    const update = await told(leaving);
    await leaving?.prepare(update);
    created((await leaving?.report(update, 'starting')) as Answer);
    created(
      await plane.api.post(`/clusters/${stage.clusterId}/nodes/${leaving?.id}/revoke`, { reason: 'Sold.' }),
    );
    const next = await told(other);
    expect(await other?.prepare(next)).toBe(true);
    await other?.change(next);
    await stage.tick();
    expect(await stage.rollout(id)).toMatchObject({
      state: 'succeeded',
      waves: [{ counts: { ok: 1, decommissioned: 1 } }],
    });
  });

  it('leads over the versions that must not be left out', async () => {
    const stage = await RolloutStage.open(plane, 1);
    await stage.publisher.release('3.0.0', { compatibility: { fromVersions: ['>=2.0.0'] } });
    const id = await stage.started({}, { targetVersion: '3.0.0' });
    expect((await told(stage.nodes[0])).toVersion).toBe('2.0.0');
    await stage.run();
    expect((await stage.rollout(id)).state).toBe('succeeded');
    expect(versions(stage)).toEqual(['3.0.0']);
  });

  it('starts by itself when its time has come', async () => {
    const stage = await RolloutStage.open(plane, 1);
    const [row] = await plane.database.query<{ now: Date }>('SELECT fabric_now() AS now');
    const id = await stage.draft({ startAt: new Date((row?.now.getTime() ?? 0) + 60_000).toISOString() });
    await stage.tick();
    expect((await stage.rollout(id)).state).toBe('draft');
    await stage.advance(61);
    await stage.tick();
    expect((await stage.rollout(id)).state).toBe('running');
  });

  it('says once for each reason why it does not start though its time has come', async () => {
    const stage = await RolloutStage.open(plane, 1);
    const [row] = await plane.database.query<{ now: Date }>('SELECT fabric_now() AS now');
    const running = await stage.started();
    const id = await stage.draft({ startAt: (row?.now ?? new Date()).toISOString() });
    const decided = async () => {
      const { items } = created(await plane.api.get(`${stage.path}/${id}/decisions`)) as {
        items: { rule: string; fromState: string; toState: string; reason: string | null }[];
      };
      return items
        .map(({ rule, fromState, toState, reason }) => [rule, fromState, toState, reason])
        .reverse();
    };
    const source = await follow(stage, id);
    await stage.tick();
    await stage.tick();
    const isTaken = ['start_refused', 'draft', 'draft', 'rollout_in_progress'];
    expect(await decided()).toEqual([isTaken]);
    created(await stage.act(running, 'cancel'));
    created(await plane.api.put(`/clusters/${stage.clusterId}/policy`, { rolloutApprovals: 1 }));
    await Promise.all([stage.tick(), stage.tick()]);
    const needsApproval = ['start_refused', 'draft', 'draft', 'rollout_state_conflict'];
    expect(await decided()).toEqual([isTaken, needsApproval]);
    created(await plane.api.put(`/clusters/${stage.clusterId}/policy`, {}));
    await stage.tick();
    const seen = await source.until((events) => events.some(({ data }) => data.kind === 'rollout.started'));
    source.close();
    expect(seen.filter(({ data }) => data.kind === 'rollout.start_refused')).toHaveLength(2);
    const [first, second, third] = await decided();
    expect([first, second, third?.[0]]).toEqual([isTaken, needsApproval, 'started']);
  });

  it('is followed event by event, and none of another one is among them', async () => {
    const [stage, other] = [await RolloutStage.open(plane, 1), await RolloutStage.open(plane, 1)];
    const id = await stage.draft();
    const source = await follow(stage, id);
    // One beside it in the same cluster, and one elsewhere.
    await stage.draft();
    await other.started();
    created(await stage.act(id, 'start'));
    created(await stage.act(id, 'pause'));
    const seen = await source.until((events) => events.some(({ data }) => data.kind === 'rollout.paused'));
    source.close();
    expect(new Set(seen.map(({ data }) => data.resourceId))).toEqual(new Set([id]));
    const kinds = seen.map(({ data }) => data.kind as string);
    expect(kinds.filter((kind) => kind === 'rollout.started')).toHaveLength(1);
    expect(kinds.filter((kind) => kind === 'rollout.wave_moved')).toHaveLength(2);
    // Where it was, at whichever instance, also when more has happened meanwhile, there and elsewhere.
    await stage.draft();
    created(await stage.act(id, 'resume'));
    const missed = { 'last-event-id': seen[0]?.id ?? '' };
    for (const at of [plane, beside]) {
      const again = await follow(stage, id, { at, ...missed });
      const isAll = (kind: string) => kind === 'rollout.resumed';
      const rest = await again.until((events) => events.some(({ data }) => isAll(data.kind)));
      again.close();
      expect(rest.slice(0, seen.length - 1)).toEqual(seen.slice(1));
      expect(new Set(rest.map(({ data }) => data.resourceId))).toEqual(new Set([id]));
    }
    const path = `${stage.path}/${other.clusterId}/events`;
    expect((await plane.api.get(path)).status).toBe(404);
  });

  it('lets pinned nodes be, and says why', async () => {
    const stage = await RolloutStage.open(plane, 3);
    const [first, second, third] = stage.nodes as [UpdatingNode, UpdatingNode, UpdatingNode];
    const { product } = stage.publisher;
    const of = ({ id: nodeId }: UpdatingNode, what: string) =>
      `/clusters/${stage.clusterId}/nodes/${nodeId}/${what}`;
    const explained = async (node: UpdatingNode) =>
      (await plane.api.get(of(node, `versions/${product}/explain`))).body;
    const pin = { version: '1.0.0', reason: 'A driver needs it.' };
    expect((await plane.api.put(of(first, `pins/${product}`), pin)).status).toBe(201);
    expect((await plane.api.put(of(first, `pins/${product}`), { ...pin, reason: 'Still.' })).status).toBe(
      200,
    );
    const id = await stage.draft();
    created(await plane.api.put(of(second, `pins/${product}`), pin));
    created(await stage.act(id, 'start'));
    const offered = await told(third);
    expect([await first.told(), await second.told(), offered.toVersion]).toEqual([null, null, '2.0.0']);
    expect(await explained(second)).toMatchObject({
      installed: '1.0.0',
      desired: { version: '1.0.0', rule: 'node_pin', ruleNumber: 3, reason: 'chosen' },
      rollout: { rolloutId: id, assignmentState: 'skipped', assignmentReason: 'pinned' },
      notUpdatingBecause: [],
    });
    expect(await explained(third)).toMatchObject({
      desired: { version: '2.0.0', rule: 'granted', ruleNumber: 5 },
      rollout: { assignmentState: 'offered', phase: 'offered' },
      notUpdatingBecause: ['It prepares, or waits for a slot.'],
    });
    created(await plane.api.put(of(third, `pins/${product}`), pin));
    expect(await third.told()).toBeNull();
    created(await plane.api.post(stage.publisher.path('1.0.0', '/block'), { reason: 'Loses data.' }));
    expect(await explained(first)).toMatchObject({
      desired: { version: null, rule: 'node_pin', reason: 'release_blocked' },
    });
    expect(refusal(await plane.api.put(of(first, `pins/${product}`), pin))).toEqual([409, 'release_blocked']);
    expect((await plane.api.delete(of(first, `pins/${product}`))).status).toBe(204);
    expect((await plane.api.get(of(first, `pins/${product}`))).status).toBe(404);
  });

  it.each<[string, Record<string, unknown>, Record<string, unknown>, string]>([
    ['a product that is not there', {}, { product: 'none' }, '#/product'],
    ['a version that is not there', {}, { targetVersion: '9.9.9' }, '#/targetVersion'],
    ['a circle of waves', { waves: [{ name: 'a', percent: 1, dependsOn: ['a'] }] }, {}, '#/strategy/waves/0'],
    [
      'a wave that says twice who is in it',
      { waves: [{ name: 'a', percent: 1, count: 1 }] },
      {},
      '#/strategy/waves/0',
    ],
    [
      'a zone that is nowhere',
      { maintenanceWindows: [{ timeZone: 'Mars', from: '01:00', to: '02:00' }] },
      {},
      '#/strategy/maintenanceWindows/0/timeZone',
    ],
    ['a time beyond all years', { startAt: '9999-12-31T23:59:59-23:59' }, {}, '#/strategy/startAt'],
    ['no room for any node', { maxUnavailable: 0 }, {}, '#/strategy/maxUnavailable'],
  ])('is not made with %s', async (_, strategy, more, pointer) => {
    const stage = await RolloutStage.open(plane);
    const answer = await plane.api.post(stage.path, stage.body(strategy, more));
    expect([answer.status, answer.body.errors?.[0]?.pointer]).toEqual([422, pointer]);
  });
});

describe('a stream of a rollout', () => {
  it('ends at every instance when its token is revoked, and tells nothing of what comes after', async () => {
    const stage = await RolloutStage.open(plane, 1);
    const id = await stage.draft();
    const reader = { name: 'follower', permissions: ['rollouts.read'], clusterId: stage.clusterId };
    const { id: tokenId, token } = created(await plane.api.post('/api-tokens', reader)) as {
      id: string;
      token: string;
    };
    // What is told by the feed is to end them, not the look at all credentials.
    for (const { app } of [plane, beside]) app.get(EventStreams).beatsPerRecheck = Number.POSITIVE_INFINITY;
    const streams = [await follow(stage, id, { token }), await follow(stage, id, { token, at: beside })];
    const owners = await follow(stage, id);
    created(await stage.act(id, 'start'));
    const isStarted = (events: readonly SentEvent[]) =>
      events.some(({ data }) => data.kind === 'rollout.started');
    for (const stream of streams) await stream.until(isStarted);
    expect((await plane.api.delete(`/api-tokens/${tokenId}`)).status).toBe(204);
    await Promise.all(streams.map(({ ended }) => ended));
    created(await stage.act(id, 'pause'));
    await owners.until((events) => events.some(({ data }) => data.kind === 'rollout.paused'));
    owners.close();
    for (const { events } of streams)
      expect(events.some(({ data }) => data.kind === 'rollout.paused')).toBe(false);
    await expect(follow(stage, id, { token })).rejects.toThrow(/^401/);
  });

  it('is for who may read rollouts of the cluster', async () => {
    const [stage, other] = [await RolloutStage.open(plane, 1), await RolloutStage.open(plane, 0)];
    const id = await stage.draft();
    const as = async (permissions: string[], clusterId: string) => {
      const body = { name: 'reader', permissions, clusterId };
      const { token } = created(await plane.api.post('/api-tokens', body)) as { token: string };
      return (await plane.api.as(token).get(`${stage.path}/${id}/events`)).status;
    };
    expect(await as(['rollouts.read'], other.clusterId)).toBe(404);
    expect(await as(['events.read'], stage.clusterId)).toBe(403);
  });

  it('says now and then that it is alive, to which nothing else happens', async () => {
    await quiet.until(() => quiet.comments.includes('alive'));
    // Its creation is told to who comes before that has found its place in the feed.
    const later = quiet.events.filter(({ data }) => data.kind !== 'rollout.created');
    expect(later).toEqual([]);
  });
});
