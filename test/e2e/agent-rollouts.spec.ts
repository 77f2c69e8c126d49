import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { AgentFleet } from '../support/agent-fleet.js';
import { created } from '../support/given.js';
import { runningServices } from '../support/node-services.js';
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
afterAll(() => fleet?.close());

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
const rules = async (id: string): Promise<string[]> => (await stage.decisions(id)).map(({ rule }) => rule);
const reasons = async (id: string): Promise<string[]> =>
  (await stage.decisions(id)).map(({ reason }) => String(reason));
const waves = (first: readonly UpdatedNode[], more: object = {}) => [
  { name: 'first', selector: { nodeIds: first.map(({ id }) => id) } },
  { name: 'rest', percent: 100, dependsOn: ['first'], ...more },
];

describe('twelve real agents', () => {
  it(
    'take on a good release, stop at a bad one and go back, and leave one that is blocked while the next one comes',
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

      await releaseService(stage.publisher, { version: '4.0.0' });
      const next = await stage.rollOut('4.0.0', {
        waves: waves(first, { requiresApproval: true }),
        maxUnavailable: 5,
      });
      await Promise.all(first.map((node) => node.seen({ reportedVersion: '4.0.0', health: 'healthy' })));
      created(
        await fleet.plane.api.post(stage.publisher.path('2.0.0', '/block'), { reason: 'a hole in it' }),
      );
      await stage.ticksUntil(async () => (await everywhere()).every((version) => version !== '2.0.0'));
      await Promise.all(rest.map((node) => node.seen({ reportedVersion: '1.0.0', health: 'healthy' })));
      created(await fleet.plane.api.post(`${stage.path}/${next}/waves/rest/approve`));
      await stage.reaches(next, 'succeeded');
      await allRun('4.0.0');

      // The story, as it was written down.
      expect(await stage.reaches(good, 'succeeded')).toMatchObject({ stateReason: null });
      expect(await reasons(bad)).toEqual(expect.arrayContaining(['error_threshold', 'operator']));
      expect(await rules(good)).toContain('version_blocked');
      const events = await stage.auditEvents();
      const [of, told] = [
        (id: string) => events.filter(({ resource }) => resource.id === id),
        'rollout.node_reported',
      ];
      const actions = (id: string): string[] => of(id).map(({ action }) => action);
      expect(actions(good)).toEqual(
        expect.arrayContaining(['rollout.started', 'rollout.wave_moved', 'rollout.succeeded']),
      );
      expect(actions(bad)).toEqual(
        expect.arrayContaining(['rollout.paused', 'rollout.rollback_started', 'rollout.rolled_back']),
      );
      const end = (id: string, state: string): string[] =>
        of(id)
          .filter(({ action, after }) => action === told && after.state === state)
          .map(({ after }) => after.nodeId);
      expect(new Set(end(good, 'ok'))).toEqual(new Set(stage.nodes.map(({ id }) => id)));
      expect(end(bad, 'rolled_back').length).toBeGreaterThan(0);
    },
    TIMEOUT_MS,
  );
});
