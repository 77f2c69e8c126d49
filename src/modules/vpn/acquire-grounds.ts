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
import type { ConnectionState, LeasedConnection } from './lease-rows.js';
import { type FormerLease, LeaseStandingsRepository, type Standing } from './lease-standings.repository.js';
import { LeasesRepository } from './leases.repository.js';
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
type Member = NonNullable<Parameters<typeof candidateOf>[0]> & { nodeId: string };
interface Facts {
  authority: GrantAuthority;
  policy: Parameters<typeof candidateOf>[1]['policy'];
  members: readonly Member[];
}

/** What was found of one ask. */
interface Found {
  state: ConnectionState;
  clock: Date;
  standing: Standing;
  authority: GrantAuthority;
  candidateAs: (isAllowed: boolean) => Candidate;
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
    const members = await this.memberships.hold(tx, clusterId, [nodeId], 'as_they_are');
    if (!(await this.leases.lock(tx, clusterId, connectionId))) throw noSuchConnection();
    return this.gatherOne(tx, ask, { authority, policy, members }, ({ clock }) => clock);
  }

  /**
   * The same for asks of one cluster, without a wait for a member or a connection: an ask at whose member or connection
   * somebody else is just now has no base. @throws not_found; unavailable just after a promotion or a restore
   */
  async holdFree<Ask extends AcquireAsk>(
    tx: Tx,
    clusterId: string,
    asks: readonly Ask[],
  ): Promise<Map<Ask, AcquireBase>> {
    const authority = await this.authorities.holdForGrant(tx, clusterId);
    const policy = await this.policies.hold(tx, clusterId);
    const nodeIds = distinct(asks, ({ nodeId }) => nodeId);
    const members = await this.memberships.hold(tx, clusterId, nodeIds, 'as_they_are_unless_busy');
    const kept = new Set(members.map(({ nodeId }) => nodeId));
    const ofKept = asks.filter(({ nodeId }) => kept.has(nodeId));
    const connectionIds = distinct(ofKept, ({ connectionId }) => connectionId);
    const locked = new Set(await this.leases.lockFree(tx, connectionIds));
    const free = ofKept.filter(({ connectionId }) => locked.has(connectionId));
    if (free.length === 0) return new Map();
    return this.gather(tx, clusterId, free, { authority, policy, members }, ({ clock }) => clock);
  }

  /** The same as it is just now. @throws not_found */
  async look(tx: ReadTx, ask: AcquireAsk): Promise<AcquireBase> {
    const { clusterId, nodeId } = ask;
    const authority = (await this.authorityOf.byCluster(tx, [clusterId])).get(clusterId);
    if (authority === undefined) throw noSuchConnection();
    const policy = await this.policies.get(tx, clusterId);
    const members = await this.members.forSnapshots(tx, clusterId, [nodeId]);
    return this.gatherOne(tx, ask, { authority, policy, members }, () => tx.now);
  }

  private async gatherOne(
    tx: ReadTx,
    ask: AcquireAsk,
    facts: Facts,
    clockOf: (state: ConnectionState) => Date,
  ): Promise<AcquireBase> {
    const base = (await this.gather(tx, ask.clusterId, [ask], facts, clockOf)).get(ask);
    if (base === undefined) throw noSuchConnection();
    return base;
  }

  /** What each ask rests on; none for a connection that is not the cluster's. */
  private async gather<Ask extends AcquireAsk>(
    tx: ReadTx,
    clusterId: string,
    asks: readonly Ask[],
    { authority, policy, members }: Facts,
    clockOf: (state: ConnectionState) => Date,
  ): Promise<Map<Ask, AcquireBase>> {
    const grants = await this.roles.forNodes(
      tx,
      clusterId,
      distinct(asks, ({ nodeId }) => nodeId),
    );
    const standings = await this.standings.standings(tx, asks);
    const states = await this.leases.states(
      tx,
      distinct(asks, ({ connectionId }) => connectionId),
    );
    const byConnection = new Map(states.map((state) => [state.connection.id, state]));
    const byNode = new Map(members.map((member) => [member.nodeId, member]));
    const bases = new Map<Ask, AcquireBase>();
    for (const [at, ask] of asks.entries()) {
      const state = byConnection.get(ask.connectionId);
      const standing = standings[at];
      if (state === undefined || standing === undefined || state.connection.clusterId !== clusterId) continue;
      const own = grants.get(ask.nodeId) ?? [];
      const candidateAs = (isAllowed: boolean) =>
        candidateOf(byNode.get(ask.nodeId), { grants: own, policy, isAllowed });
      bases.set(
        ask,
        await this.baseOf(tx, ask, { state, clock: clockOf(state), standing, authority, candidateAs }),
      );
    }
    return bases;
  }

  private async baseOf(
    tx: ReadTx,
    { nodeId, tokenSeen }: AcquireAsk,
    { state, clock, standing: { places, former: written }, authority, candidateAs }: Found,
  ): Promise<AcquireBase> {
    const { connection, lease } = state;
    const now = decisionTime(clock, connection, lease);
    const isAllowed = places.some((place) => place.nodeId === nodeId);
    const candidate = candidateAs(isAllowed);
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

function distinct<T>(items: readonly T[], of: (item: T) => string): string[] {
  return [...new Set(items.map(of))];
}

/** A mass lapse has lost nothing: whoever held a connection last may have it back. */
function holdOf({ takeoversHeldUntil: until, takeoversHeldFor }: GrantAuthority) {
  return until === null ? null : { until, keepsFormerOwner: takeoversHeldFor !== 'mass_lapse' };
}

function reservationOf({ reservedNodeId: nodeId, reservedUntil: until }: LeasedConnection) {
  return nodeId === null || until === null ? null : { nodeId, until };
}
