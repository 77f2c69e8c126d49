import { TxEvent } from '../../common/transaction/tx-events.js';

/** A cluster was made; modules above give it what is theirs. */
export class ClusterCreated extends TxEvent {
  constructor(readonly clusterId: string) {
    super();
  }
}

/** The policy now denies other capabilities than before. Its row is locked against everybody who holds the policy. */
export class CapabilityPolicyChanged extends TxEvent {
  constructor(readonly clusterId: string) {
    super();
  }
}

/** A cluster is to be archived; whoever still has something live in it refuses. */
export class ClusterArchiving extends TxEvent {
  constructor(readonly clusterId: string) {
    super();
  }
}
