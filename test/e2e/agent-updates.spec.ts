import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { AgentFleet } from '../support/agent-fleet.js';
import type { AgentEvent } from '../support/agent-process.js';
import { created } from '../support/given.js';
import { endNodeServices, runningServices } from '../support/node-services.js';
import { releaseKey } from '../support/publisher.js';
import { releaseService } from '../support/service-release.js';
import { type UpdatedNode, UpdateStage } from '../support/updated-nodes.js';

/** Real processes on a busy machine. */
const TIMEOUT_MS = 300_000;
const LOOK_MS = 10;

let fleet: AgentFleet;
const nodeIds: string[] = [];
beforeAll(async () => {
  fleet = await AgentFleet.open();
}, 300_000);
afterAll(async () => {
  await fleet?.close();
  await endNodeServices(...nodeIds);
});

/** A node on version 1.0.0, which came by a rollout too. */
async function onFirstVersion(terms: Record<string, unknown> = {}): Promise<[UpdateStage, UpdatedNode]> {
  const stage = await UpdateStage.open(fleet);
  const node = await stage.admit(terms);
  nodeIds.push(node.id);
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
      await node.seen({ reportedState: 'running', reportedVersion: '2.0.0', health: 'healthy' });
      expect(await node.installed()).toBe('2.0.0');
      expect(new Set(await node.notes())).toEqual(new Set(['state-2 preflight', 'state-2 migrate']));
      expect(await runningServices(node.id)).toBe(1);

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
      await node.seen({ reportedState: 'running', reportedVersion: '2.0.0', health: 'healthy' });
      expect(await node.installed()).toBe('2.0.0');
      expect((await node.notes()).at(-1)).toBe('state-3 rollback');
      expect(await runningServices(node.id)).toBe(1);
      // What it runs on and what it could go back to, and no more.
      const versions = join(node.directory, 'releases', stage.publisher.product, 'versions');
      expect((await readdir(versions)).map((name) => name.split('_')[0]).sort()).toEqual(['1.0.0', '2.0.0']);
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
    },
    TIMEOUT_MS,
  );
});
