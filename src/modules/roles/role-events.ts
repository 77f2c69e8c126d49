import { TxEvent } from '../../common/transaction/tx-events.js';

/**
 * The role assignments of a node have changed: given, taken, disabled or enabled. Whoever builds on a node's roles looks
 * again, inside the transaction. Roles that begin or end by the time alone, or by the node's membership or capabilities,
 * are not told by this: those have events of their own, or none.
 */
export class RolesChanged extends TxEvent {
  constructor(
    readonly clusterId: string,
    readonly nodeId: string,
  ) {
    super();
  }
}
