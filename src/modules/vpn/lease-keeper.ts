import { Injectable, type OnModuleInit } from '@nestjs/common';
import type { Tx } from '../../common/transaction/tx.js';
import { TxEvents } from '../../common/transaction/tx-events.js';
import { CapabilityPolicyChanged } from '../clusters/cluster-events.js';
import { CapabilitiesChanged, MembershipDisabled, MembershipEnded } from '../nodes/membership-events.js';
import { MembershipsService } from '../nodes/memberships.service.js';
import { RolesChanged } from '../roles/role-events.js';
import {
  type Candidate,
  eligibleUntil,
  type HeldConnection,
  type IneligibleReason,
  ineligibleReasons,
} from './eligibility.js';
import { decisionTime, ended, isInForce, type Lease } from './lease.js';
import { handoverWithdrawn, leaseEnded } from './lease-events.js';
import type { ConnectionState, LeasedConnection } from './lease-rows.js';
import { LeaseStandingsRepository } from './lease-standings.repository.js';
import { LeasesRepository } from './leases.repository.js';
import { VpnCandidates } from './vpn-candidates.js';
import type { VpnConnectionSettings } from './vpn-connection.js';

/**
 * Ends leases in the transaction that takes away what they rest on. A lease that is in force therefore has an eligible
 * owner, and a renewal need not ask again; what ends by the time alone bounds the lease instead.
 */
@Injectable()
export class LeaseKeeper implements OnModuleInit {
  constructor(
    private readonly events: TxEvents,
    private readonly memberships: MembershipsService,
    private readonly leases: LeasesRepository,
    private readonly standings: LeaseStandingsRepository,
    private readonly candidates: VpnCandidates,
  ) {}

  onModuleInit(): void {
    this.events.on(RolesChanged, (tx, { clusterId, nodeIds }) => this.lookAgain(tx, clusterId, nodeIds));
    const lookAtOne = (tx: Tx, { clusterId, nodeId }: { clusterId: string; nodeId: string }) =>
      this.lookAgain(tx, clusterId, [nodeId]);
    this.events.on(MembershipDisabled, lookAtOne);
    this.events.on(MembershipEnded, lookAtOne);
    this.events.on(CapabilitiesChanged, lookAtOne);
    this.events.on(CapabilityPolicyChanged, async (tx, { clusterId }) => {
      await this.lookAgain(tx, clusterId, await this.leases.nodesWithLeases(tx, clusterId));
    });
  }

  /**
   * Looks again at the leases of these nodes. Their members are locked first, since whoever acquires holds its member:
   * it has committed before, and is seen here, or waits and sees what has changed.
   */
  async lookAgain(tx: Tx, clusterId: string, nodeIds: readonly string[]): Promise<void> {
    await this.memberships.hold(tx, clusterId, nodeIds, 'to_change');
    const locked = await this.leases.lockOfNodes(tx, clusterId, nodeIds);
    if (locked.length === 0) return;
    const states = await this.leases.states(tx, locked);
    const concerned = new Set(states.flatMap(({ connection, lease }) => nodesOf(connection, lease)));
    const candidates = await this.candidates.of(tx, clusterId, [...concerned]);
    const allowed = await this.standings.allowedPairs(tx, locked);
    const clock = await tx.clock();
    for (const state of states) {
      const { id } = state.connection;
      await this.settle(tx, state, state.connection, clock, (nodeId) =>
        candidates(nodeId, allowed.has(`${id}/${nodeId}`)),
      );
    }
  }

  /** Looks again at the lease of a locked connection that will be as `next` says; null: it will be gone. */
  async fit(tx: Tx, connectionId: string, next: VpnConnectionSettings | null): Promise<void> {
    const [state] = await this.leases.states(tx, [connectionId]);
    if (state === undefined) return;
    const { connection, lease } = state;
    const candidates = await this.candidates.of(tx, connection.clusterId, nodesOf(connection, lease));
    const clock = await tx.clock();
    await this.settle(tx, state, next, clock, (nodeId) =>
      candidates(nodeId, next?.allowedNodeIds.includes(nodeId) ?? false),
    );
  }

  private async settle(
    tx: Tx,
    { connection, lease }: ConnectionState,
    next: HeldConnection | null,
    clock: Date,
    candidateOf: (nodeId: string) => Candidate,
  ): Promise<void> {
    const now = decisionTime(clock, connection, lease);
    const reasonOf = (nodeId: string): IneligibleReason | null =>
      next === null ? 'connection_deleted' : (ineligibleReasons(next, candidateOf(nodeId), now)[0] ?? null);
    const { reservedNodeId } = connection;
    const lostReservation = reservedNodeId === null ? null : reasonOf(reservedNodeId);
    if (lostReservation !== null) {
      await this.leases.reserve(tx, connection, null);
      const event = handoverWithdrawn(connection, lostReservation);
      if (event !== null) tx.audit(event);
    }
    if (lease === null) return;
    const reason = reasonOf(lease.ownerNodeId);
    if (!isInForce(lease, now)) await this.end(tx, connection, ended(lease, 'expired', lease.expiresAt), now);
    else if (reason !== null) await this.end(tx, connection, ended(lease, 'fenced', now, reason), now);
    else if (next !== null)
      await this.bound(tx, lease, eligibleUntil(next, candidateOf(lease.ownerNodeId), now));
  }

  private async end(tx: Tx, connection: LeasedConnection, lease: Lease, now: Date): Promise<void> {
    await this.leases.end(tx, lease, now);
    tx.audit(leaseEnded(connection, lease));
  }

  /** A role that now ends sooner takes from the lease what lies behind its end. */
  private async bound(tx: Tx, lease: Lease, until: Date | null): Promise<void> {
    if (until?.getTime() === lease.eligibleUntil?.getTime()) return;
    const expiresAt = until !== null && until < lease.expiresAt ? until : lease.expiresAt;
    await this.leases.update(tx, { ...lease, eligibleUntil: until, expiresAt });
  }
}

/** The nodes that something of the connection rests on. */
function nodesOf({ reservedNodeId }: LeasedConnection, lease: Lease | null): string[] {
  return [lease?.ownerNodeId, reservedNodeId].filter((nodeId) => nodeId != null);
}
