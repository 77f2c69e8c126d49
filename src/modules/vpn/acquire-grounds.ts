import { Injectable } from '@nestjs/common';
import type { ReadTx, Tx } from '../../common/transaction/tx.js';
import type { Authority } from '../authority/authority.js';
import { AuthorityReadModel } from '../authority/authority.read-model.js';
import { AuthorityService } from '../authority/authority.service.js';
import { PolicyReadModel } from '../clusters/policy.read-model.js';
import { MembershipsReadModel } from '../nodes/memberships.read-model.js';
import { MembershipsService } from '../nodes/memberships.service.js';
import { RolesReadModel } from '../roles/roles.read-model.js';
import type { AcquireGround } from './acquire-rules.js';
import { type Candidate, eligibleUntil, ineligibleReasons } from './eligibility.js';
import { decisionTime, fencingToken } from './lease.js';
import { LeasePrecedence } from './lease-precedence.js';
import { type FormerLease, LeaseStandingsRepository } from './lease-standings.repository.js';
import { type ConnectionState, type LeasedConnection, LeasesRepository } from './leases.repository.js';
import { candidateOf } from './vpn-candidates.js';
import { noSuchConnection } from './vpn-connection.js';

/** Who wants the lease of a connection. */
export interface AcquireAsk {
  clusterId: string;
  connectionId: string;
  nodeId: string;
  /** The highest token that the node has seen of the connection. */
  tokenSeen: number | null;
}

/** What an acquisition rests on. */
export interface AcquireBase {
  ground: AcquireGround;
  connection: LeasedConnection;
  isAllowed: boolean;
  term: number;
  /** When an eligible node ceases to be so by the time alone. */
  eligibleUntil: Date | null;
}

type GrantAuthority = Pick<Authority, 'state' | 'term' | 'takeoversHeldUntil' | 'takeoversHeldFor'>;
interface Facts {
  authority: GrantAuthority;
  policy: Parameters<typeof candidateOf>[1]['policy'];
  member: Parameters<typeof candidateOf>[0];
}

/** Gathers what decides over an acquisition: locked, to decide; or as it is, to explain. */
@Injectable()
export class AcquireGrounds {
  constructor(
    private readonly leases: LeasesRepository,
    private readonly standings: LeaseStandingsRepository,
    private readonly authorities: AuthorityService,
    private readonly authorityOf: AuthorityReadModel,
    private readonly policies: PolicyReadModel,
    private readonly memberships: MembershipsService,
    private readonly members: MembershipsReadModel,
    private readonly roles: RolesReadModel,
    private readonly precedence: LeasePrecedence,
  ) {}

  /**
   * Locks everything that the lease will rest on, always in this order: the authority, the policy, the member, the
   * connection. Whoever changes one of them locks it first and then what comes after it, so that nobody waits in a
   * circle. The time is read last: what was good before the wait may be over.
   * @throws not_found; unavailable just after a promotion or a restore
   */
  async hold(tx: Tx, ask: AcquireAsk): Promise<AcquireBase> {
    const { clusterId, connectionId, nodeId } = ask;
    const authority = await this.authorities.holdForGrant(tx, clusterId);
    const policy = await this.policies.hold(tx, clusterId);
    const [member] = await this.memberships.hold(tx, clusterId, [nodeId], 'as_they_are');
    if (!(await this.leases.lock(tx, clusterId, connectionId))) throw noSuchConnection();
    return this.gather(tx, ask, { authority, policy, member }, ({ clock }) => clock);
  }

  /** The same as it is just now. @throws not_found */
  async look(tx: ReadTx, ask: AcquireAsk): Promise<AcquireBase> {
    const { clusterId, nodeId } = ask;
    const authority = (await this.authorityOf.byCluster(tx, [clusterId])).get(clusterId);
    if (authority === undefined) throw noSuchConnection();
    const policy = await this.policies.get(tx, clusterId);
    const [member] = await this.members.forSnapshots(tx, clusterId, [nodeId]);
    return this.gather(tx, ask, { authority, policy, member }, () => tx.now);
  }

  private async gather(
    tx: ReadTx,
    { clusterId, connectionId, nodeId, tokenSeen }: AcquireAsk,
    { authority, policy, member }: Facts,
    clockOf: (state: ConnectionState) => Date,
  ): Promise<AcquireBase> {
    const grants = (await this.roles.forNodes(tx, clusterId, [nodeId])).get(nodeId) ?? [];
    const { places, former: written } = await this.standings.standing(tx, connectionId, nodeId);
    const [state] = await this.leases.states(tx, [connectionId]);
    if (state === undefined) throw noSuchConnection();
    const { connection, lease } = state;
    const now = decisionTime(clockOf(state), connection, lease);
    const isAllowed = places.some((place) => place.nodeId === nodeId);
    const candidate: Candidate = candidateOf(member, { grants, policy, isAllowed });
    const former: FormerLease | null =
      lease === null
        ? written
        : { ownerNodeId: lease.ownerNodeId, status: 'expired', endedAt: lease.expiresAt };
    return {
      connection,
      isAllowed,
      term: authority.term,
      eligibleUntil: eligibleUntil(connection, candidate, now),
      ground: {
        now,
        nodeId,
        lease,
        formerOwnerId: former?.ownerNodeId ?? null,
        ineligible: ineligibleReasons(connection, candidate, now),
        authorityState: authority.state,
        takeoverHold: holdOf(authority),
        fenceHeldUntil: connection.fenceHeldUntil,
        reservation: reservationOf(connection),
        othersComeFirstUntil: await this.precedence.othersFirstUntil(tx, connection, now, {
          nodeId,
          places,
          former,
        }),
        tokenSeen,
        nextToken: fencingToken(authority.term, connection.lastSequence + 1),
      },
    };
  }
}

/** A mass lapse has lost nothing: whoever held a connection last may have it back. */
function holdOf({ takeoversHeldUntil: until, takeoversHeldFor }: GrantAuthority) {
  return until === null ? null : { until, keepsFormerOwner: takeoversHeldFor !== 'mass_lapse' };
}

function reservationOf({ reservedNodeId: nodeId, reservedUntil: until }: LeasedConnection) {
  return nodeId === null || until === null ? null : { nodeId, until };
}
