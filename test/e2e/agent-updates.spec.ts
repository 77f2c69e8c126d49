import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { AgentFleet } from '../support/agent-fleet.js';
import type { AgentEvent } from '../support/agent-process.js';
import { created } from '../support/given.js';
import { runningServices } from '../support/node-services.js';
import { releaseKey } from '../support/publisher.js';
import { releaseService } from '../support/service-release.js';
import { until } from '../support/until.js';
import { ALL_AT_ONCE, type UpdatedNode, UpdateStage } from '../support/updated-nodes.js';

/** Real processes on a busy machine. */
const TIMEOUT_MS = 300_000;
const LOOK_MS = 10;

let fleet: AgentFleet;
beforeAll(async () => {
  fleet = await AgentFleet.open();
}, 300_000);
afterAll(() => fleet?.close());

/** A node on version 1.0.0, which came by a rollout too. */
async function onFirstVersion(
  terms: Record<string, unknown> = {},
  failureThreshold?: number,
): Promise<[UpdateStage, UpdatedNode]> {
  const stage = await UpdateStage.open(fleet);
  const node = await stage.admit(terms, failureThreshold);
  await releaseService(stage.publisher, { version: '1.0.0' });
  node.run();
  await node.agent.seen('heartbeat.ok');
  await stage.reaches(await stage.rollOut('1.0.0'), 'succeeded');
  await node.seen({ reportedState: 'running', reportedVersion: '1.0.0', health: 'healthy' });
  return [stage, node];
}

/**
 * Kills the agent in every state that it is seen to enter on the way to a version, until it is in the last one. Says in
 * which. An agent that is killed before it could tell of the last one does not tell of it again.
 */
async function killedInEachState(node: UpdatedNode, version: string, last: string): Promise<string[]> {
  const killed: string[] = [];
  for (;;) {
    const isNew = ({ state }: AgentEvent) => !killed.includes(String(state));
    const moved = node.agent.all('update.moved').find(isNew);
    if (moved === undefined && (await node.wayTo(version)) !== last) {
      await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
      continue;
    }
    killed.push(String(moved?.state ?? last));
    if (killed.at(-1) === last) return killed;
    await restart(node);
  }
}
const restart = async (node: UpdatedNode): Promise<void> => {
  await node.agent.end('SIGKILL');
  node.run();
};

/** The node runs the version, and well, as the control plane and its own disk say. */
async function runsOn(node: UpdatedNode, version: string): Promise<void> {
  await node.seen({ reportedState: 'running', reportedVersion: version, health: 'healthy' });
  expect(await node.installed()).toBe(version);
  expect(await runningServices(node.id)).toBe(1);
}
/** The update has been made ready, and everything was heard that there is to say of it. */
async function waitsForItsSlot(node: UpdatedNode): Promise<void> {
  await until(
    () => node.record(),
    ({ update, reports }) => update?.state === 'staging' && update.isReady && reports.length === 0,
  );
}

describe('an agent with a service that is run from releases', () => {
  it(
    'takes it to the next version although it is killed in every state, and back from a bad one',
    async () => {
      const [stage, node] = await onFirstVersion();
      await releaseService(stage.publisher, { version: '2.0.0', migration: { id: 'state-2' } });
      await restart(node); // what it has seen so far is of the first version
      const good = await stage.rollOut('2.0.0');
      expect((await killedInEachState(node, '2.0.0', 'running'))[0]).toBe('checking');
      await stage.reaches(good, 'succeeded');
      await runsOn(node, '2.0.0');
      expect(new Set(await node.notes())).toEqual(new Set(['state-2 preflight', 'state-2 migrate']));

      await releaseService(stage.publisher, {
        version: '3.0.0',
        isWell: false,
        migration: { id: 'state-3' },
      });
      await restart(node);
      const bad = await stage.rollOut('3.0.0');
      expect(await killedInEachState(node, '3.0.0', 'rolled_back')).toContain('rollback_required');
      expect(await stage.reaches(bad, 'paused')).toMatchObject({ stateReason: 'error_threshold' });
      expect(await stage.assignments(bad)).toMatchObject([{ state: 'rolled_back' }]);
      await runsOn(node, '2.0.0');
      expect((await node.notes()).at(-1)).toBe('state-3 rollback');
      // What it runs on and what it could go back to, and no more, though it was killed before it had cleared away the rest.
      const versions = join(node.directory, 'releases', stage.publisher.product, 'versions');
      await node.agent.end('SIGKILL');
      await mkdir(join(versions, '3.0.0_0123456789abcdef'), { recursive: true });
      node.run();
      const kept = await until(
        () => readdir(versions),
        ({ length }) => length < 3,
      );
      expect(kept.map((name) => name.split('_')[0]).sort()).toEqual(['1.0.0', '2.0.0']);

      created(await fleet.plane.api.post(`${stage.path}/${bad}/cancel`));
      created(await fleet.plane.api.post(`${stage.path}/${good}/rollback`));
      await stage.reaches(good, 'rolled_back');
      await runsOn(node, '1.0.0');
      expect((await node.notes()).at(-1)).toBe('state-2 rollback');
    },
    TIMEOUT_MS,
  );

  it(
    'runs nothing that its host has not pinned the keys of, and fences itself where there is no way back',
    async () => {
      const [stage, node] = await onFirstVersion();
      const { api } = fleet.plane;
      await releaseService(stage.publisher, { version: '2.0.0' });
      await node.pin([releaseKey(), releaseKey()]);
      const stranger = await stage.rollOut('2.0.0');
      await stage.reaches(stranger, 'paused');
      expect(await stage.assignments(stranger)).toMatchObject([
        { state: 'failed', message: '0 of the keys pinned here have signed, 2 must have' },
      ]);
      await rm(join(node.directory, 'release-keys.json'));
      created(await api.post(`${stage.path}/${stranger}/cancel`));
      const unpinned = await stage.rollOut('2.0.0');
      await stage.reaches(unpinned, 'paused');
      const [{ message }] = await stage.assignments(unpinned);
      expect(message).toMatch(/^this host has pinned no release keys for .*--release-keys$/);
      expect(await node.installed()).toBe('1.0.0');
      created(await api.post(`${stage.path}/${unpinned}/cancel`));

      await node.pin();
      const migration = { id: 'state-3', downgradePossible: false };
      await releaseService(stage.publisher, { version: '3.0.0', isWell: false, migration });
      const bad = await stage.rollOut('3.0.0');
      const fenced = await node.agent.seen('update.moved', ({ state }) => state === 'fenced');
      expect(fenced.detail).toContain('there is no way back from migration state-3, which was run');
      await stage.reaches(bad, 'paused');
      expect(await stage.assignments(bad)).toMatchObject([{ state: 'fenced' }]);
      await node.seen({ reportedState: 'stopped' });
      await restart(node);
      await node.agent.seen('heartbeat.ok');
      expect(await runningServices(node.id)).toBe(0);

      const unfence = `${stage.path}/${bad}/nodes/${node.id}/unfence`;
      created(await api.post(unfence, { reason: 'the data was looked at' }));
      await node.agent.seen('workload.started');
      expect(await node.installed()).toBe('3.0.0');

      // The bad version counts until a good one comes, which takes the node up although its directory was set back.
      created(await api.post(`${stage.path}/${bad}/cancel`));
      created(await api.post(stage.publisher.path('3.0.0', '/block'), { reason: 'It is never well.' }));
      const { sha256 } = await releaseService(stage.publisher, { version: '4.0.0' });
      const isBegun = fleet.proxy.lose(`/artifacts/${sha256}`, 'request_lost');
      const next = await stage.rollOut('4.0.0');
      await isBegun;
      const early = await readFile(node.recordFile, 'utf8');
      created(await api.post(`${stage.path}/${next}/pause`));
      await restart(node);
      await waitsForItsSlot(node);
      await node.agent.end('SIGKILL');
      await writeFile(node.recordFile, early);
      node.run();
      await node.agent.seen('update.report_refused', ({ code }) => code === 'stale_report');
      await waitsForItsSlot(node);
      created(await api.post(`${stage.path}/${next}/resume`));
      await stage.reaches(next, 'succeeded');
      await runsOn(node, '4.0.0');
      // Over the migration of before leads no way down, and nobody begins one.
      const back = { product: stage.publisher.product, targetVersion: '1.0.0', strategy: ALL_AT_ONCE };
      const { id } = created(await api.post(stage.path, back)) as { id: string };
      expect(await stage.assignments(id)).toMatchObject([
        { state: 'skipped', stateReason: 'downgrade_not_possible' },
      ]);
      expect((await api.post(`${stage.path}/${id}/start`)).status).toBe(409);
      expect(await node.installed()).toBe('4.0.0');
    },
    TIMEOUT_MS,
  );

  it(
    'tries again as its rollout allows, behind a backup, which is brought back when the version turns bad late',
    async () => {
      const save = (name: string, ends = 0) => ['/bin/sh', '-c', `echo ${name} >> "$NOTES"; exit ${ends}`];
      const terms = { retrySeconds: 0 };
      const saving = { ...terms, backup: save('backup'), restore: save('restore') };
      const [stage, node] = await onFirstVersion(terms, 2);
      const { api } = fleet.plane;
      const migration = { id: 'state-2', backupRequired: true };
      await releaseService(stage.publisher, { version: '2.0.0', isWell: 'unless_weak', migration });
      const vain = await stage.rollOut('2.0.0', { retryBudget: 2 });
      await stage.reaches(vain, 'paused');
      expect(await stage.assignments(vain)).toMatchObject([
        {
          state: 'failed',
          message: expect.stringMatching(/^migration state-2 needs a backup, and this host/),
        },
      ]);
      expect(node.agent.all('update.moved').filter(({ state }) => state === 'failed')).toHaveLength(3);
      expect(await node.notes()).toEqual([]);
      created(await api.post(`${stage.path}/${vain}/cancel`));

      await node.define(saving);
      await writeFile(join(node.directory, 'not-ready'), '');
      const good = await stage.rollOut('2.0.0', { retryBudget: 1 });
      await stage.reaches(good, 'succeeded');
      await runsOn(node, '2.0.0');
      const way = ['state-2 preflight', 'state-2 preflight', 'backup', 'state-2 migrate'];
      expect(await node.notes()).toEqual(way);

      await writeFile(join(node.directory, 'weak'), '');
      const late = await node.agent.seen('update.moved', ({ state }) => state === 'rolled_back');
      expect(late.detail).toMatch(/^it turned bad: /);
      await runsOn(node, '1.0.0');
      expect(await node.notes()).toEqual([...way, 'restore']);
      await stage.ticksUntil(async () => (await stage.assignments(good))[0].state === 'rolled_back');
      expect(await stage.reaches(good, 'succeeded')).toMatchObject({ stateReason: null });

      await node.define({ ...saving, backup: save('backup', 1) });
      const next = { id: 'state-3', backupRequired: true };
      await releaseService(stage.publisher, { version: '3.0.0', migration: next });
      const unsaved = await stage.rollOut('3.0.0');
      await stage.reaches(unsaved, 'paused');
      expect(await stage.assignments(unsaved)).toMatchObject([
        {
          state: 'rolled_back',
          message: expect.stringMatching(/^there is no backup: ended with exit code 1/),
        },
      ]);
      await runsOn(node, '1.0.0');
      expect(await node.notes()).toEqual([...way, 'restore', 'state-3 preflight', 'backup']);
    },
    TIMEOUT_MS,
  );
});
