import { TxEvent } from '../../common/transaction/tx-events.js';

/** Which release of which product. */
export interface ReleaseRef {
  productId: string;
  releaseId: string;
  version: string;
}

/**
 * A release was blocked: it leaves the service no more, and no channel points to it. Its row is locked. Whoever stands
 * above stops what goes on with it, in this transaction.
 */
export class ReleaseBlocked extends TxEvent {
  constructor(
    readonly release: ReleaseRef,
    readonly reason: string,
  ) {
    super();
  }
}

/** A release was approved: it may leave the service. Its row is locked. */
export class ReleaseApproved extends TxEvent {
  constructor(readonly release: ReleaseRef) {
    super();
  }
}

/** A release is not blocked any more. Nothing goes back to it by itself. */
export class ReleaseUnblocked extends TxEvent {
  constructor(readonly release: ReleaseRef) {
    super();
  }
}

/**
 * A channel of a cluster is to point elsewhere. Its row is locked. Whoever has conditions for that, such as a rollout
 * and a soak before `stable`, refuses by throwing; a move that a block brings is not to be refused.
 */
export class ChannelMoving extends TxEvent {
  constructor(
    readonly clusterId: string,
    readonly productId: string,
    readonly channel: 'stable' | 'current' | 'candidate',
    /** null: it pointed nowhere. */
    readonly from: ReleaseRef | null,
    /** null: it will point nowhere. */
    readonly to: ReleaseRef | null,
    readonly cause: 'operator' | 'block',
  ) {
    super();
  }
}
