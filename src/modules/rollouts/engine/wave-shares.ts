import { percentRoundedUp } from './percentages.js';

/** How much of the fleet a wave takes: percent of all that can be updated, a number, or exactly the selected. */
export type WaveShare =
  | { kind: 'percent'; percent: number }
  | { kind: 'count'; count: number }
  | { kind: 'selected'; nodeIds: ReadonlySet<string> };

/** A node as far as its place matters. */
export interface Placed {
  nodeId: string;
  platform: string;
}

/** A node goes with the first wave that takes it, and with no other. */
export function takesPart(nodeId: string, taken: ReadonlySet<string>): boolean {
  return !taken.has(nodeId);
}

/**
 * The nodes of each wave.
 *
 * The first wave holds at least one node of each platform, even where its share would be smaller: a version that is bad
 * on one platform only is to be found there. A wave of selected nodes holds those that were selected and no others.
 *
 * @param nodes in the order in which they are taken
 */
export function shareOut<N extends Placed>(
  nodes: readonly N[],
  shares: readonly WaveShare[],
  takes = takesPart,
): N[][] {
  const taken = new Set<string>();
  return shares.map((share, index) => {
    const left = nodes.filter(({ nodeId }) => takes(nodeId, taken));
    const members = membersOf(share, left, nodes.length, index === 0);
    for (const { nodeId } of members) taken.add(nodeId);
    return members;
  });
}

function membersOf<N extends Placed>(
  share: WaveShare,
  left: readonly N[],
  total: number,
  isFirst: boolean,
): N[] {
  if (share.kind === 'selected') return left.filter(({ nodeId }) => share.nodeIds.has(nodeId));
  const size = share.kind === 'count' ? share.count : percentRoundedUp(share.percent, total);
  if (!isFirst) return left.slice(0, size);
  const firsts = new Set(firstOfEachPlatform(left));
  const others = left.filter((node) => !firsts.has(node));
  const members = new Set([...firsts, ...others.slice(0, Math.max(0, size - firsts.size))]);
  return left.filter((node) => members.has(node));
}

function firstOfEachPlatform<N extends Placed>(nodes: readonly N[]): N[] {
  const firsts = new Map<string, N>();
  for (const node of nodes) if (!firsts.has(node.platform)) firsts.set(node.platform, node);
  return [...firsts.values()];
}
