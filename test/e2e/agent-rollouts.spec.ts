import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { AgentFleet } from '../support/agent-fleet.js';
import { created } from '../support/given.js';
import { endNodeServices, runningServices } from '../support/node-services.js';
import { releaseService } from '../support/service-release.js';
import { type UpdatedNode, UpdateStage } from '../support/updated-nodes.js';

/** Twelve agents and their services on a busy machine. */
const TIMEOUT_MS = 400_000;
const NODES = 12;

let fleet: AgentFleet;
let stage: UpdateStage;
beforeAll(async () => {
  fleet = await AgentFleet.open();
  stage = await UpdateStage.open(fleet);
  for (let count = 0; count < NODES; count++) await stage.admit();
  for (const node of stage.nodes) node.run();
  await Promise.all(stage.nodes.map((node) => node.agent.seen('heartbeat.ok')));
}, 300_000);
afterAll(async () => {
  await fleet?.close();
  await endNodeServices(...(stage?.nodes.map(({ id }) => id) ?? []));
});

const everywhere = async (): Promise<string[]> =>
  Promise.all(stage.nodes.map(async (node) => String(await node.installed())));
const all = (version: string): string[] => stage.nodes.map(() => version);
/** Every node runs this version, and the control plane sees it well. */
async function allRun(version: string): Promise<void> {
  await Promise.all(
    stage.nodes.map((node) =>
      node.seen({ reportedState: 'running', reportedVersion: version, health: 'healthy' }),
    ),
  );
  expect(await everywhere()).toEqual(all(version));
  expect(await runningServices(...stage.nodes.map(({ id }) => id))).toBe(NODES);
}
const waves = (first: readonly UpdatedNode[]) => [
  { name: 'first', selector: { nodeIds: first.map(({ id }) => id) } },
  { name: 'rest', percent: 100, dependsOn: ['first'] },
];

describe('twelve real agents', () => {
  it(
    'take on a good release, stop at one that is bad in its second wave, and go back when they are told to',
    async () => {
      const first = stage.nodes.slice(0, 2);
      const rest = stage.nodes.slice(2);
      await releaseService(stage.publisher, { version: '1.0.0' });
      await stage.reaches(await stage.rollOut('1.0.0'), 'succeeded');
      await allRun('1.0.0');

      await releaseService(stage.publisher, { version: '2.0.0' });
      const good = await stage.rollOut('2.0.0', { waves: waves(first), maxUnavailable: 4 });
      await stage.reaches(good, 'succeeded');
      await allRun('2.0.0');

      // Well on the nodes of the first wave, and on no other.
      await Promise.all(rest.map(({ directory }) => writeFile(join(directory, 'weak'), '')));
      await releaseService(stage.publisher, { version: '3.0.0', isWell: 'unless_weak' });
      const bad = await stage.rollOut('3.0.0', { waves: waves(first), maxUnavailable: 3 });
      expect(await stage.reaches(bad, 'paused')).toMatchObject({ stateReason: 'error_threshold' });
      const stopped = await stage.assignments(bad);
      const states = (nodes: readonly UpdatedNode[]): string[] =>
        stopped.filter(({ nodeId }) => nodes.some(({ id }) => id === nodeId)).map(({ state }) => state);
      expect(states(first)).toEqual(['ok', 'ok']);
      expect(states(rest)).toContain('rolled_back');
      expect(states(rest)).not.toContain('ok');
      created(await fleet.plane.api.post(`${stage.path}/${bad}/rollback`));
      await stage.reaches(bad, 'rolled_back');
      await allRun('2.0.0');

      // The story, as it was written down.
      const reasons = (await stage.decisions(bad)).map(({ reason }) => reason);
      expect(reasons).toContain('error_threshold');
      const events = await stage.auditEvents();
      const actions = events.filter(({ resource }) => resource.id === bad).map(({ action }) => action);
      const told = ['rollout.started', 'rollout.paused', 'rollout.rollback_started', 'rollout.rolled_back'];
      expect(actions).toEqual(expect.arrayContaining([...told, 'rollout.node_reported']));
    },
    TIMEOUT_MS,
  );
});
