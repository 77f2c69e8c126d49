import { Injectable } from '@nestjs/common';
import type { Actor } from '../../common/request/actor.js';
import type { Outcome } from '../../common/transaction/transactor.js';
import type { Tx } from '../../common/transaction/tx.js';
import { decisionTime, ended, isHolder, type Lease, leaseLost } from './lease.js';
import { leaseEnded } from './lease-events.js';
import { type Found, LeaseExpiry } from './lease-expiry.js';
import type { HolderAsk } from './lease-renewals.service.js';
import { LeaseStandingsRepository } from './lease-standings.repository.js';
import { LeaseTransactions } from './lease-transactions.js';
import { LeasesRepository } from './leases.repository.js';
import { noSuchConnection } from './vpn-connection.js';

/** A lease that its holder has given back. */
export interface Released {
  lease: Lease;
  now: Date;
}

/** Takes leases back from holders that do not need them any more. */
@Injectable()
export class LeaseReleasesService {
  constructor(
    private readonly transactions: LeaseTransactions,
    private readonly leases: LeasesRepository,
    private readonly standings: LeaseStandingsRepository,
    private readonly expiry: LeaseExpiry,
  ) {}

  /**
   * Ends the lease; again changes nothing. @param ask.isOwn the node itself asks: a connection that does not allow it is
   * not there for it
   * @throws not_found; conflict `lease_lost`; unavailable
   */
  release(actor: Actor, ask: HolderAsk & { isOwn: boolean }): Promise<Released> {
    return this.expiry.refusing(ask, (found) =>
      this.transactions.run(actor, ask.connectionId, (tx) => this.releaseIn(tx, ask, found)),
    );
  }

  private async releaseIn(
    tx: Tx,
    ask: HolderAsk & { isOwn: boolean },
    found: Found,
  ): Promise<Outcome<Released>> {
    const { clusterId, connectionId, nodeId, fencingToken, isOwn } = ask;
    if (!(await this.leases.lock(tx, clusterId, connectionId))) throw noSuchConnection();
    const places = await this.standings.places(tx, connectionId, nodeId);
    if (isOwn && !places.some((place) => place.nodeId === nodeId)) throw noSuchConnection();
    const named = await this.leases.findByToken(tx, connectionId, fencingToken);
    const [state] = await this.leases.states(tx, [connectionId]);
    if (state === undefined) throw noSuchConnection();
    const now = decisionTime(state.clock, state.connection, state.lease);
    if (named?.status === 'released' && named.ownerNodeId === nodeId)
      return { result: { lease: named, now }, unchanged: true };
    found(state.lease, now);
    if (named === null || !isHolder(named, ask, now)) throw leaseLost();
    const lease = ended(named, 'released', now);
    await this.leases.end(tx, lease, now);
    return { result: { lease, now }, events: [leaseEnded(state.connection, lease)] };
  }
}
