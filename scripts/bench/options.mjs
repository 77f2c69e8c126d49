import { parseArgs } from 'node:util';
import { Failure } from '../lib/run.mjs';

/** The parts of the benchmark, in the order in which they run. */
export const PARTS = [
  'crypto',
  'enrollment',
  'tokens',
  'polls',
  'heartbeats',
  'leases',
  'changes',
  'watches',
  'sizes',
  'coverage',
  'rollouts',
];

const USAGE = `npm run bench -- [options]

  --smoke          tiny counts, in seconds: shows that it works, measures nothing
  --full           10,000 held watches and 100,000 nodes as well
  --only a,b       only these parts: ${PARTS.join(', ')}
  --json <file>    the figures as JSON, too
  --profile <dir>  a CPU profile of the service, too
  --help`;

/**
 * How much is measured.
 * @typedef {object} Sizes
 * @property {number} rounds  of service and limit in turn; the median counts
 * @property {number} roundMs  of one round
 * @property {number} warmUpMs  before the first one
 * @property {number} enrolled  nodes that join over the API, once a quarter as many have done so unmeasured
 * @property {number} beating  nodes that send heartbeats at the same time
 * @property {number} leases  that are renewed, or acquired and released, at the same time
 * @property {number} steadyLeases  that are held together, each renewed every ten seconds
 * @property {number} steadyMs  for which they are
 * @property {number} connections  of the load on polls and limits
 * @property {number[]} watches  how many are held at once, step by step
 * @property {number} singleChanges  changes of one node while they are held
 * @property {number} wideChanges  changes of every node while they are held
 * @property {number[]} members  nodes of the cluster at which cost is compared
 * @property {number} covered  nodes of the cluster whose roles are counted, at least as many as any part before has
 * @property {number} rolledOut  nodes of the cluster to which a version is rolled out
 * @property {number} updating  of them that really call, all at once
 * @property {number} slots  of those that may be out of service at a time
 * @property {number} updateBeatMs  between two calls of such a node
 */

/** @type {Record<string, Sizes>} */
const SIZES = {
  smoke: {
    rounds: 1,
    roundMs: 150,
    warmUpMs: 50,
    enrolled: 6,
    beating: 6,
    leases: 6,
    steadyLeases: 1_000,
    steadyMs: 500,
    connections: 4,
    watches: [20],
    singleChanges: 3,
    wideChanges: 1,
    members: [20, 40],
    covered: 60,
    rolledOut: 80,
    updating: 6,
    slots: 3,
    updateBeatMs: 20,
  },
  normal: {
    rounds: 5,
    roundMs: 2_000,
    warmUpMs: 6_000,
    enrolled: 300,
    beating: 200,
    leases: 200,
    steadyLeases: 10_000,
    steadyMs: 30_000,
    connections: 64,
    watches: [1_000],
    singleChanges: 200,
    wideChanges: 11,
    members: [1_000],
    covered: 50_000,
    rolledOut: 100_000,
    updating: 200,
    slots: 100,
    updateBeatMs: 1_000,
  },
};
SIZES.full = { ...SIZES.normal, watches: [1_000, 10_000], members: [1_000, 100_000], covered: 100_000 };

/**
 * Reads the command line.
 * @param {string[]} args
 * @throws {Failure} when it is not understood
 */
export function readOptions(args) {
  let values;
  try {
    ({ values } = parseArgs({
      args,
      options: {
        smoke: { type: 'boolean', default: false },
        full: { type: 'boolean', default: false },
        only: { type: 'string' },
        json: { type: 'string' },
        profile: { type: 'string' },
        help: { type: 'boolean', default: false },
      },
    }));
  } catch (error) {
    throw new Failure(`${error.message}\n\n${USAGE}`);
  }
  if (values.smoke && values.full) throw new Failure('--smoke or --full, not both.');
  const parts = values.only?.split(',').map((part) => part.trim()) ?? PARTS;
  const unknown = parts.filter((part) => !PARTS.includes(part));
  if (unknown.length > 0) throw new Failure(`There is no part ${unknown.join(', ')}.\n\n${USAGE}`);
  const mode = values.smoke ? 'smoke' : values.full ? 'full' : 'normal';
  return {
    mode,
    sizes: SIZES[mode],
    parts: new Set(parts),
    json: values.json ?? null,
    profile: values.profile ?? null,
    help: values.help ? USAGE : null,
  };
}
