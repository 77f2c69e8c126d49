import { TxEvent } from '../../common/transaction/tx-events.js';

/** Nodes of the cluster are about to be told of updates. Raised before their assignments move. */
export class UpdatesOffering extends TxEvent {
  constructor(readonly clusterId: string) {
    super();
  }
}

/** The unfinished rollouts of the cluster lead to other releases than before. The lock of a product is held. */
export class ReleasesUnderWayChanged extends TxEvent {
  constructor(readonly clusterId: string) {
    super();
  }
}
