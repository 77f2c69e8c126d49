import { TxEvent } from '../../common/transaction/tx-events.js';

/** The unfinished rollouts of the cluster lead to other releases than before. The lock of a product is held. */
export class ReleasesUnderWayChanged extends TxEvent {
  constructor(readonly clusterId: string) {
    super();
  }
}
