import * as fc from 'fast-check';
import type { Rules } from '../../../src/modules/rollouts/engine/rules.js';
import { BrokenInvariant } from './broken-invariant.js';
import type { Fate } from './host.js';
import { Invariants } from './invariants.js';
import { WorldNode } from './node.js';
import { RolloutWorld, type Setup } from './world.js';

/** Something that somebody does; `who` picks a node. */
export type Happens =
  | { do: 'tick' | 'pause' | 'rollback' | 'cancel' | 'block' | 'unblock' | 'approve' }
  | { do: 'resume'; acknowledge: boolean }
  | { do: 'pass'; seconds: number }
  | { do: 'poll' | 'offline' | 'online' | 'decommission' | 'writeOff' | 'unfence' | 'regress'; who: number }
  | { do: 'act'; who: number; fate: Fate }
  | { do: 'work'; who: number; fate: Fate }
  | { do: 'repeat'; who: number; which: number };

export const setups: fc.Arbitrary<Setup> = fc.record({
  platforms: fc.array(fc.constantFrom('linux/x64', 'linux/arm64', 'windows/x64'), {
    minLength: 1,
    maxLength: 14,
  }),
  waves: fc
    .tuple(
      ...times4(() =>
        fc.record({
          percent: fc.constantFrom(10, 30, 50, 100),
          soakSeconds: fc.constantFrom(0, 60),
          requiresApproval: fc.constantFrom(false, false, false, true),
        }),
      ),
    )
    .map((four) =>
      four.map(({ percent, ...terms }, index) => ({
        ...DIAMOND[index % DIAMOND.length],
        share: { kind: 'percent' as const, percent },
        ...terms,
      })),
    ),
  maxUnavailable: fc.integer({ min: 1, max: 3 }),
  successThresholdPercent: fc.constantFrom(50, 80, 100),
  failureThresholdPercent: fc.constantFrom(0, 20, 50),
  minEvidence: fc.integer({ min: 1, max: 2 }),
  autoRollback: fc.boolean(),
  downgradePossible: fc.boolean(),
}) as fc.Arbitrary<Setup>;

/** One before, two beside each other, one after both. */
const DIAMOND = [
  { name: 'canary', dependsOn: [] },
  { name: 'left', dependsOn: ['canary'] },
  { name: 'right', dependsOn: ['canary'] },
  { name: 'rest', dependsOn: ['left', 'right'] },
];

/** What ends a rollout, or nearly does. */
const RARE: Happens[] = [
  ...times4((): Happens => ({ do: 'rollback' })),
  ...times4((): Happens => ({ do: 'block' })),
  { do: 'cancel' },
];

const who = fc.nat(13);
const fate = fc.oneof(
  { weight: 12, arbitrary: fc.constant<Fate>('well') },
  { weight: 1, arbitrary: fc.constantFrom<Fate>('bad_download', 'unhealthy', 'fenced') },
);

/** Mostly nodes that do their work, since the long way through all waves is where mistakes show. */
export const histories: fc.Arbitrary<Happens[]> = fc.array(
  fc.oneof(
    { weight: 12, arbitrary: fc.constant<Happens>({ do: 'tick' }) },
    { weight: 30, arbitrary: fc.record({ do: fc.constant('work' as const), who, fate }) },
    { weight: 8, arbitrary: fc.record({ do: fc.constant('poll' as const), who }) },
    { weight: 12, arbitrary: fc.record({ do: fc.constant('act' as const), who, fate }) },
    { weight: 4, arbitrary: fc.record({ do: fc.constant('repeat' as const), who, which: fc.nat(40) }) },
    {
      weight: 4,
      arbitrary: fc.record({ do: fc.constant('pass' as const), seconds: fc.constantFrom(30, 120, 700) }),
    },
    { weight: 2, arbitrary: fc.record({ do: fc.constantFrom('offline' as const, 'online' as const), who }) },
    {
      weight: 2,
      arbitrary: fc.record({
        do: fc.constantFrom('decommission' as const, 'writeOff' as const, 'unfence' as const),
        who,
      }),
    },
    { weight: 1, arbitrary: fc.record({ do: fc.constant('regress' as const), who }) },
    { weight: 3, arbitrary: fc.record({ do: fc.constant('resume' as const), acknowledge: fc.boolean() }) },
    { weight: 2, arbitrary: fc.constantFrom<Happens>({ do: 'pause' }, { do: 'unblock' }) },
    { weight: 2, arbitrary: fc.constant<Happens>({ do: 'approve' }) },
    { weight: 1, arbitrary: fc.constantFrom<Happens>(...RARE) },
  ),
  { minLength: 60, maxLength: 220, size: 'max' },
);

/** Runs a history with all invariants watched, then lets everything go well, and wants to see it end. */
export function live(setup: Setup, history: readonly Happens[], rules: Rules): RolloutWorld {
  const world = new RolloutWorld(setup, rules);
  const nodes = setup.platforms.map((_, index) => new WorldNode(`node-${index}`, world));
  const invariants = new Invariants(world, nodes);
  for (const happens of history) {
    happen(world, nodes, happens);
    invariants.check();
  }
  converge(world, nodes, invariants);
  return world;
}

function happen(world: RolloutWorld, nodes: readonly WorldNode[], happens: Happens): void {
  if ('who' in happens) happenTo(world, nodes, happens);
  else if (happens.do === 'pass') world.pass(happens.seconds);
  else if (happens.do === 'resume') world.resume(happens.acknowledge);
  else world[happens.do]();
}

type ToNode = Extract<Happens, { who: number }>;

/** What befalls a node whether or not it can be reached. */
const BEFALL: {
  [K in 'offline' | 'online' | 'decommission' | 'writeOff' | 'unfence']: (
    w: RolloutWorld,
    n: WorldNode,
  ) => void;
} = {
  offline: (world, { nodeId }) => world.offline.add(nodeId),
  online: (world, { nodeId }) => world.offline.delete(nodeId),
  decommission: (world, { nodeId }) => world.decommission(nodeId),
  writeOff: (world, { nodeId }) => world.writeOff(nodeId),
  unfence: (_, node) => node.unfence(),
};

function happenTo(world: RolloutWorld, nodes: readonly WorldNode[], happens: ToNode): void {
  const node = nodes[happens.who % nodes.length];
  if (node === undefined || world.isGone(node.nodeId)) return;
  if (happens.do in BEFALL) BEFALL[happens.do as keyof typeof BEFALL](world, node);
  else if (!world.offline.has(node.nodeId)) liveOn(node, happens);
}

function liveOn(node: WorldNode, happens: ToNode): void {
  if (happens.do === 'repeat') node.repeat(happens.which);
  else if (happens.do === 'regress') node.regress();
  else {
    if (happens.do !== 'act') node.poll();
    if ('fate' in happens) node.act(happens.fate);
  }
}

/** I11: with healthy nodes and an operator who decides, it ends. */
function converge(world: RolloutWorld, nodes: readonly WorldNode[], invariants: Invariants): void {
  world.offline.clear();
  world.unblock();
  for (let round = 0; round < 200; round++) {
    if (!['running', 'paused', 'rolling_back'].includes(world.state)) return;
    for (const node of nodes) {
      if (world.isGone(node.nodeId)) continue;
      node.poll();
      node.act('well');
      invariants.check();
      if (round % 20 === 19) {
        world.writeOff(node.nodeId);
        node.unfence();
      }
    }
    world.pass(61);
    world.approve();
    world.tick();
    world.resume(true);
    invariants.check();
  }
  throw new BrokenInvariant('I11', `still ${world.state} (${world.reason}) after 200 rounds`);
}

function times4<T>(make: () => T): [T, T, T, T] {
  return [make(), make(), make(), make()];
}
