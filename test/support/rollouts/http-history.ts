import { BrokenInvariant } from './broken-invariant.js';
import type { HttpFabric } from './http-fabric.js';
import type { HttpNode } from './http-node.js';
import { HttpRollout } from './http-rollout.js';
import { type AnyHappens, isOfPins, type PinHappens } from './pin-happenings.js';
import type { Setup } from './world.js';

/** How often everything is derived anew: so many happenings lie between. */
const LOOK_CLOSELY_EVERY = 40;
const ROUNDS = 60;
/** And so many more when nobody is pinned any more. */
const ROUNDS_WITHOUT_PINS = 60;
/** After so many rounds somebody decides about nodes that nobody hears of. */
const PATIENCE = 5;

/**
 * Runs a history at the real service: so many of its happenings at once, at both instances by turns, each node doing one
 * thing after the other. Then it lets everything go well, and wants to see it end.
 */
export async function liveOverHttp(
  fabric: HttpFabric,
  setup: Setup,
  history: readonly AnyHappens[],
  atOnce: readonly number[] = [1],
): Promise<HttpRollout> {
  const rollout = await HttpRollout.start(fabric, setup);
  await rollout.look();
  let begun = 0;
  for (let group = 0; begun < history.length; group += 1) {
    const size = atOnce[group % atOnce.length] ?? 1;
    await together(rollout, history.slice(begun, begun + size), begun);
    await rollout.look();
    if (Math.floor((begun + size) / LOOK_CLOSELY_EVERY) > Math.floor(begun / LOOK_CLOSELY_EVERY))
      await rollout.lookClosely();
    begun += size;
  }
  if (rollout.pins !== null) await rollout.lookClosely();
  await converge(rollout);
  await rollout.lookClosely();
  return rollout;
}

async function together(rollout: HttpRollout, some: readonly AnyHappens[], begun: number): Promise<void> {
  const { nodes } = rollout;
  // Whether a pin has expired is the same for all that happens at once.
  const passes: AnyHappens[] = rollout.pins === null ? [] : some.filter((happens) => happens.do === 'pass');
  for (const happens of passes) await happen(rollout, happens, undefined, begun);
  const queues = new Map<HttpNode | AnyHappens, (() => Promise<void>)[]>();
  for (const [index, happens] of some.entries()) {
    if (passes.includes(happens)) continue;
    const node = 'who' in happens ? nodes[happens.who % nodes.length] : undefined;
    const key = node ?? happens;
    queues.set(key, [...(queues.get(key) ?? []), () => happen(rollout, happens, node, begun + index)]);
  }
  await all([...queues.values()].map(inTurn));
}

async function inTurn(doings: readonly (() => Promise<void>)[]): Promise<void> {
  for (const doing of doings) await doing();
}

/** Waits for every one, so that nothing is under way when it fails. */
async function all(doings: readonly Promise<void>[]): Promise<void> {
  const settled = await Promise.allSettled(doings);
  const reasons = settled.flatMap((each) => (each.status === 'rejected' ? [each.reason] : []));
  const broken = reasons.find((reason) => reason instanceof BrokenInvariant) ?? reasons[0];
  if (broken !== undefined) throw broken;
}

function happen(
  rollout: HttpRollout,
  happens: AnyHappens,
  node: HttpNode | undefined,
  at: number,
): Promise<void> {
  if (isOfPins(happens)) return rollout.pins?.happen(happens, at) ?? Promise.resolve();
  if ('who' in happens) return node === undefined ? Promise.resolve() : befall(rollout, happens, node, at);
  if (happens.do === 'pass') return rollout.pass(happens.seconds);
  if (happens.do === 'resume') return rollout.resume(happens.acknowledge, at);
  return happens.do === 'tick' ? rollout.tick() : rollout[happens.do](at);
}

async function befall(
  rollout: HttpRollout,
  happens: Exclude<Extract<AnyHappens, { who: number }>, PinHappens>,
  node: HttpNode,
  at: number,
): Promise<void> {
  if (node.isGone) return;
  if (happens.do === 'offline') return rollout.goOffline(node);
  if (happens.do === 'online') return rollout.comeBack(node, at);
  if (happens.do === 'decommission' || happens.do === 'writeOff' || happens.do === 'unfence')
    return rollout[happens.do](node, at);
  if (rollout.isOffline(node)) return;
  if (happens.do === 'repeat') return node.do(node.host.repeat(happens.which), at);
  if (happens.do === 'regress') return node.do(node.host.regress(), at);
  if (happens.do !== 'act') await node.poll(at);
  if ('fate' in happens) await node.act(happens.fate, at);
}

/** I11: with healthy nodes and an operator who decides, it ends. */
async function converge(rollout: HttpRollout): Promise<void> {
  const nodes = rollout.nodes.filter(({ isGone }) => !isGone);
  await all(nodes.map((node, at) => rollout.comeBack(node, at)));
  await rollout.unblock(0);
  await rollout.pins?.relent();
  const rounds = ROUNDS + (rollout.pins === null ? 0 : ROUNDS_WITHOUT_PINS);
  for (let round = 1; round <= rounds; round += 1) {
    await rollout.look();
    if (rollout.isOver) return;
    if (round === ROUNDS) await rollout.pins?.unpinAll();
    await all(nodes.map((node, at) => goWell(node, at)));
    if (round % PATIENCE === 0)
      await all(
        nodes.map(async (node, at) => {
          await rollout.writeOff(node, at);
          await rollout.unfence(node, at);
        }),
      );
    await rollout.pass(61);
    await rollout.approve(round);
    await rollout.tick();
    await rollout.resume(true, round);
    await rollout.pins?.decide();
  }
  throw new BrokenInvariant('I11', `still ${rollout.open} after ${rounds} rounds`);
}

/** All that it may do now. */
async function goWell(node: HttpNode, at: number): Promise<void> {
  await node.poll(at);
  await node.act('well', at);
  await node.poll(at);
  for (let step = 0; step < 4; step += 1) await node.act('well', at);
}
