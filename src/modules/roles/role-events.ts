import type { Tx } from '../../common/transaction/tx.js';
import { TxEvent } from '../../common/transaction/tx-events.js';

/**
 * The role assignments of nodes have changed: given, taken, disabled or enabled. Whoever builds on a node's roles looks
 * again, inside the transaction, set by set: a bulk assignment names thousands of nodes at once. Their memberships are
 * locked. Roles that begin or end by the time alone, or by the node's membership or capabilities, are not told by this:
 * those have events of their own, or none.
 */
export class RolesChanged extends TxEvent {
  constructor(
    readonly clusterId: string,
    /** At least one, each once. */
    readonly nodeIds: readonly string[],
  ) {
    super();
  }
}

/** Whoever builds on the nodes' roles looks again, and so do their snapshots. */
export async function rolesChanged(tx: Tx, clusterId: string, nodeIds: readonly string[]): Promise<void> {
  tx.touch(clusterId, nodeIds);
  await tx.raise(new RolesChanged(clusterId, nodeIds));
}
