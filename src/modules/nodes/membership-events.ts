import { TxEvent } from '../../common/transaction/tx-events.js';

abstract class MembershipEvent extends TxEvent {
  constructor(
    readonly clusterId: string,
    readonly nodeId: string,
  ) {
    super();
  }
}

/** A node became a member. */
export class NodeAdmitted extends MembershipEvent {
  readonly kind = 'admitted';
}

/** A membership ended for ever; leases, certificates and everything else of it end with it. */
export class MembershipEnded extends MembershipEvent {
  readonly kind = 'ended';
}

/** A membership was disabled: it keeps its identity and loses its work. */
export class MembershipDisabled extends MembershipEvent {
  readonly kind = 'disabled';
}

/** A disabled membership works again. */
export class MembershipEnabled extends MembershipEvent {
  readonly kind = 'enabled';
}

/** A node reports other capabilities than before. */
export class CapabilitiesChanged extends MembershipEvent {
  readonly kind = 'capabilities';
}
