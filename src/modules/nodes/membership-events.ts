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

/** A node lost its work. Who needs it to go on refuses by throwing, unless the operator insists. */
abstract class WorkTaken extends MembershipEvent {
  /** Filled by whoever would have refused: roles that `force` takes below their wanted minimum. */
  readonly rolesBelowMinimum: string[] = [];

  constructor(
    clusterId: string,
    nodeId: string,
    /** What the membership was before; a disabled one had no work to lose. */
    readonly from: 'active' | 'disabled',
    readonly force: boolean,
  ) {
    super(clusterId, nodeId);
  }
}

/** A membership ended for ever; leases, certificates and everything else of it end with it. */
export class MembershipEnded extends WorkTaken {
  readonly kind = 'ended';
}

/** A membership was disabled: it keeps its identity and loses its work. */
export class MembershipDisabled extends WorkTaken {
  readonly kind = 'disabled';
}

/** A disabled membership works again. */
export class MembershipEnabled extends MembershipEvent {
  readonly kind = 'enabled';
}

/** A key that was revoked apart from its membership. */
export interface RevokedIdentity {
  /** The one that was to end. */
  identityId: string;
  /** All that ended, that one among them. */
  identityIds: readonly string[];
  reason: string;
}

/** Keys of a member were revoked; whatever was got with them ends, and the membership goes on. */
export class IdentityRevoked extends MembershipEvent {
  readonly kind = 'identity_revoked';

  constructor(
    clusterId: string,
    nodeId: string,
    readonly revoked: RevokedIdentity,
  ) {
    super(clusterId, nodeId);
  }
}

/** A member was filed in another node group, or in none. */
export class NodeRegrouped extends MembershipEvent {
  readonly kind = 'regrouped';
}

/** A node group of the cluster lies elsewhere in the tree, and with it all that is in it. The tree is locked. */
export class NodeGroupMoved extends TxEvent {
  constructor(
    readonly clusterId: string,
    readonly groupId: string,
  ) {
    super();
  }
}

/** A node reports other capabilities than before. */
export class CapabilitiesChanged extends MembershipEvent {
  readonly kind = 'capabilities';
}
