import { createHash } from 'node:crypto';

/** Caches that a node is told of at most: enough that one of them answers, few enough to stay a hint. */
export const TOLD_CACHES = 3;

/** A node by where operators have filed it. */
export interface PlacedNode {
  nodeId: string;
  /** Its node group and those above, from the root down; empty: it is in none. */
  groups: readonly string[];
}

/** A node that serves. */
export interface PlacedCache extends PlacedNode {
  url: string;
}

/**
 * The caches nearest to a node, nearest first. Near is who shares more of the path through the tree of node groups, by
 * which operators file data centers, sites and regions. Among equally near ones each node has an order of its own that
 * stays, so that the load is spread and a snapshot changes only when places do.
 */
export function nearestCaches<C extends PlacedNode>(node: PlacedNode, caches: readonly C[]): C[] {
  return caches
    .filter((cache) => cache.nodeId !== node.nodeId)
    .map((cache) => ({
      cache,
      shared: sharedGroups(node, cache),
      turn: createHash('sha256').update(`${node.nodeId}/${cache.nodeId}`).digest('hex'),
    }))
    .sort((one, other) => other.shared - one.shared || (one.turn < other.turn ? -1 : 1))
    .slice(0, TOLD_CACHES)
    .map(({ cache }) => cache);
}

function sharedGroups({ groups: one }: PlacedNode, { groups: other }: PlacedNode): number {
  const apart = one.findIndex((group, level) => group !== other[level]);
  return apart === -1 ? one.length : apart;
}
