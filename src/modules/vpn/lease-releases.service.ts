import { Injectable } from '@nestjs/common';
import { DomainError } from '../../common/errors/domain-error.js';
import type { Actor } from '../../common/request/actor.js';
import type { Outcome } from '../../common/transaction/transactor.js';
import type { Tx } from '../../common/transaction/tx.js';
import { decisionTime, ended, isHolder, type Lease, leaseLost } from './lease.js';
import { leaseEnded } from './lease-events.js';
import { type Found, LeaseExpiry } from './lease-expiry.js';
import type { HolderAsk } from './lease-renewals.service.js';
import type { ConnectionState } from './lease-rows.js';
import { LeaseStandingsRepository } from './lease-standings.repository.js';
import { LeaseTransactions } from './lease-transactions.js';
import { LeasesRepository } from './leases.repository.js';
import { type Decision, SharedLeaseCalls, sharableRequest } from './shared-lease-calls.js';
import { noSuchConnection } from './vpn-connection.js';

/** A lease that its holder has given back. */
export interface Released {
  lease: Lease;
  now: Date;
}

/** A holder that gives back. @property isOwn the node itself: a connection that does not allow it is not there for it */
type ReleaseAsk = HolderAsk & { isOwn: boolean };

/** What a release is decided on, read under the connection's lock. */
interface Ground {
  state: ConnectionState;
  /** The lease that the token names. */
  named: Lease | null;
  isAllowed: boolean;
  now: Date;
}

/** Takes leases back from holders that do not need them any more. */
@Injectable()
export class LeaseReleasesService {
  private readonly shared: SharedLeaseCalls<ReleaseAsk, Released>;

  constructor(
    private readonly transactions: LeaseTransactions,
    private readonly leases: LeasesRepository,
    private readonly standings: LeaseStandingsRepository,
    private readonly expiry: LeaseExpiry,
  ) {
    this.shared = new SharedLeaseCalls({
      transactions,
      nameOf: ({ connectionId }) => connectionId,
      decide: (tx, clusterId, asks) => this.releaseFree(tx, clusterId, asks),
    });
  }

  /**
   * Ends the lease; again changes nothing. What nodes give back together ends together.
   * @throws not_found; conflict `lease_lost`; unavailable
   */
  async release(actor: Actor, ask: ReleaseAsk): Promise<Released> {
    const request = ask.isOwn ? sharableRequest() : null;
    const shared = request === null ? null : await this.shared.make(request, actor, ask);
    return (
      shared ??
      this.expiry.refusing(ask, (found) =>
        this.transactions.run(actor, ask.connectionId, (tx) => this.releaseIn(tx, ask, found)),
      )
    );
  }

  private async releaseIn(tx: Tx, ask: ReleaseAsk, found: Found): Promise<Outcome<Released>> {
    if (!(await this.leases.lock(tx, ask.clusterId, ask.connectionId))) throw noSuchConnection();
    const ground = (await this.grounds(tx, [ask])).get(ask);
    if (ground === undefined) throw noSuchConnection();
    found(ground.state.lease, ground.now);
    const decision = decide(ask, ground);
    if (decision instanceof DomainError) throw decision;
    const { ended: lease, result } = decision;
    if (lease === null) return { result, unchanged: true };
    await this.leases.end(tx, lease, result.now);
    return { result, events: [leaseEnded(ground.state.connection, lease)] };
  }

  /** What is refused goes on alone: that the lease is over has to be in writing before it is told. */
  private async releaseFree(
    tx: Tx,
    clusterId: string,
    asks: readonly ReleaseAsk[],
  ): Promise<Map<ReleaseAsk, Decision<Released>>> {
    const locked = new Set(
      await this.leases.lockFree(
        tx,
        asks.map(({ connectionId }) => connectionId),
      ),
    );
    const free = asks.filter(({ connectionId }) => locked.has(connectionId));
    const decisions = new Map<ReleaseAsk, Decision<Released>>();
    const ends: { lease: Lease; now: Date }[] = [];
    for (const [ask, ground] of free.length === 0 ? [] : await this.grounds(tx, free)) {
      const { connection } = ground.state;
      const decision = connection.clusterId === clusterId ? decide(ask, ground) : leaseLost();
      if (decision instanceof DomainError) continue;
      const { ended: lease, result } = decision;
      if (lease !== null) ends.push({ lease, now: result.now });
      decisions.set(ask, { result, events: lease === null ? [] : [leaseEnded(connection, lease)] });
    }
    if (ends.length > 0) await this.leases.endAll(tx, ends);
    return decisions;
  }

  /** Of locked connections, the time last. */
  private async grounds(tx: Tx, asks: readonly ReleaseAsk[]): Promise<Map<ReleaseAsk, Ground>> {
    const allowed = await this.standings.allowed(tx, asks);
    const named = await this.leases.findByTokens(tx, asks);
    const states = await this.leases.states(
      tx,
      asks.map(({ connectionId }) => connectionId),
    );
    const byConnection = new Map(states.map((state) => [state.connection.id, state]));
    const grounds = new Map<ReleaseAsk, Ground>();
    for (const ask of asks) {
      const { connectionId, nodeId } = ask;
      const state = byConnection.get(connectionId);
      if (state === undefined) continue;
      grounds.set(ask, {
        state,
        named: named.get(connectionId) ?? null,
        isAllowed: allowed.has(`${connectionId}/${nodeId}`),
        now: decisionTime(state.clock, state.connection, state.lease),
      });
    }
    return grounds;
  }
}

/** The lease as it ends, null where it had ended so before; or why it does not. */
function decide(
  ask: ReleaseAsk,
  { named, isAllowed, now }: Ground,
): { ended: Lease | null; result: Released } | DomainError {
  if (ask.isOwn && !isAllowed) return noSuchConnection();
  if (named?.status === 'released' && named.ownerNodeId === ask.nodeId)
    return { ended: null, result: { lease: named, now } };
  if (named === null || !isHolder(named, ask, now)) return leaseLost();
  const lease = ended(named, 'released', now);
  return { ended: lease, result: { lease, now } };
}
