import { Fleet } from './fleet.mjs';
import { measureCoverage } from './measure-coverage.mjs';
import { measureEnrollment, measureSignatures, measureTokens } from './measure-identity.mjs';
import { measureLeases } from './measure-leases.mjs';
import { measureChangedPolls, measureHeartbeats, measureUnchangedPolls } from './measure-node-calls.mjs';
import { measureRollouts } from './measure-rollouts.mjs';
import { measureSizes } from './measure-sizes.mjs';
import { measureWatches } from './measure-watches.mjs';

/**
 * Starts what is needed and measures part by part.
 * @param {import('./bench-stage.mjs').BenchStage} stage
 * @param {{ sizes: import('./options.mjs').Sizes, parts: Set<string> }} options
 * @param {(line: string) => void} tell  what is going on
 * @returns {Promise<import('./report.mjs').Row[]>}
 */
export async function measure(stage, { sizes, parts }, tell) {
  tell('Starting the service on an embedded Postgres in a throw-away directory.');
  await stage.startService();
  await stage.startBareFastify();
  const fleet = new Fleet(stage);
  await fleet.found();
  const rows = [];
  const add = (part, more) => {
    if (parts.has(part)) rows.push(...more);
  };

  tell('The raw rates of signatures.');
  const raw = await measureSignatures(stage, sizes);
  add('crypto', raw.rows);
  tell(`Enrolling ${sizes.enrolled} nodes.`);
  add('enrollment', await measureEnrollment(fleet, sizes, raw));
  const size = Math.max(sizes.members[0], sizes.watches[0]);
  tell(`Seeding up to ${size} nodes, each with a token and its snapshot.`);
  await fleet.growTo(size);
  add('tokens', await measureTokens(fleet, parts.has('tokens') ? sizes.rounds : 1, raw));
  await fleet.fetchSnapshots(size);

  const inOrder = [
    ['polls', 'Unchanged polls, beside bare Fastify.', () => measureUnchangedPolls(stage, fleet, sizes)],
    [
      'heartbeats',
      'Heartbeats, beside updates of single rows.',
      () => measureHeartbeats(stage, fleet, sizes),
    ],
    [
      'leases',
      'Leases, beside the same statements by pgbench.',
      () => measureLeases(stage, fleet, sizes, tell),
    ],
    ['changes', 'Changed polls.', () => measureChangedPolls(fleet, sizes, raw)],
    ['watches', 'Held polls.', () => measureWatches(stage, fleet, sizes, raw, tell)],
    ['sizes', 'Cost by the number of nodes.', () => measureSizes(stage, fleet, sizes, tell)],
    ['coverage', 'Role coverage of a large cluster.', () => measureCoverage(stage, fleet, sizes)],
    ['rollouts', 'A rollout to a large cluster.', () => measureRollouts(stage, fleet, sizes, tell)],
  ];
  for (const [part, title, work] of inOrder) {
    if (!parts.has(part)) continue;
    tell(title);
    add(part, await work());
  }
  return rows;
}
