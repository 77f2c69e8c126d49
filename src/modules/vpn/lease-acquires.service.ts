import { Injectable } from '@nestjs/common';
import { Database } from '../../common/database/database.js';
import { Jobs } from '../../common/jobs/jobs.js';
import type { Actor } from '../../common/request/actor.js';
import { currentRequest } from '../../common/request/request-context.js';
import type { Outcome } from '../../common/transaction/transactor.js';
import type { ReadTx, Tx } from '../../common/transaction/tx.js';
import { AuthorityClaims } from '../authority/authority-claims.service.js';
import { type AcquireAsk, type AcquireBase, AcquireGrounds } from './acquire-grounds.js';
import { owns, requireAcquirable } from './acquire-rules.js';
import { ended, fencingToken, firstExpiry, isInForce, type Lease, leaseHeld, termOfToken } from './lease.js';
import { leaseAcquired, leaseEnded } from './lease-events.js';
import { EXPIRY_JOB } from './lease-expiry.js';
import { LeaseLapses } from './lease-lapses.js';
import { LeaseTransactions } from './lease-transactions.js';
import { LeasesRepository } from './leases.repository.js';
import type { Reserved } from './leases.schema.js';
import { noSuchConnection } from './vpn-connection.js';

/** A lease that was given, or that the node had. */
export interface Acquired {
  lease: Lease;
  reserved: Reserved;
  now: Date;
  isNew: boolean;
}

/** Gives leases. */
@Injectable()
export class LeaseAcquiresService {
  constructor(
    private readonly database: Database,
    private readonly transactions: LeaseTransactions,
    private readonly leases: LeasesRepository,
    private readonly grounds: AcquireGrounds,
    private readonly claims: AuthorityClaims,
    private readonly lapses: LeaseLapses,
    private readonly jobs: Jobs,
  ) {}

  /**
   * Gives the lease to the node, or tells the one that it has. Another's unexpired lease refuses without a lock.
   * @param ask.isOwn the node itself asks: a connection that does not allow it is not there for it
   * @throws not_found; conflict by the rules of {@link requireAcquirable}; unavailable when too many want it
   */
  async acquire(actor: Actor, ask: AcquireAsk & { isOwn: boolean }): Promise<Acquired> {
    if (ask.tokenSeen !== null) await this.noteToken(ask, ask.tokenSeen);
    // A repeat by its key is answered as it was, so that it must get to the transaction that knows the key.
    if (currentRequest()?.idempotency != null)
      return this.transactions.run(actor, ask.connectionId, (tx) => this.grant(tx, ask));
    const own = await this.look(ask);
    if (own !== null) return own;
    const look = async () => void (await this.look(ask));
    return this.transactions.run(actor, ask.connectionId, (tx) => this.grant(tx, ask), look);
  }

  /** The lease where the node has it; null where it may be free. */
  private async look(ask: AcquireAsk & { isOwn: boolean }): Promise<Acquired | null> {
    const { clusterId, connectionId, nodeId, isOwn } = ask;
    const seen = await this.leases.look(this.query, clusterId, connectionId, nodeId);
    if (seen === null || (isOwn && !seen.isAllowed)) throw noSuchConnection();
    const { lease, now, reservedNodeId, reservedUntil } = seen;
    const reserved = { reservedNodeId, reservedUntil };
    if (lease !== null && isInForce(lease, now)) {
      if (lease.ownerNodeId !== nodeId) throw leaseHeld(lease);
      return { lease, reserved, now, isNew: false };
    }
    // It would go over to another node: is that one of many that have lapsed?
    if (seen.followsLapse) await this.lapses.lookBeforeTakeover(clusterId);
    return null;
  }

  private async grant(tx: Tx, ask: AcquireAsk & { isOwn: boolean }): Promise<Outcome<Acquired>> {
    const base = await this.grounds.hold(tx, ask);
    const { ground, connection } = base;
    const { now, lease: stored } = ground;
    if (ask.isOwn && !base.isAllowed) throw noSuchConnection();
    if (stored !== null && owns(ground))
      return { result: { lease: stored, reserved: connection, now, isNew: false }, unchanged: true };
    requireAcquirable(ground);
    const over = stored === null ? null : ended(stored, 'expired', stored.expiresAt);
    if (over !== null) await this.leases.update(tx, over);
    const sequence = await this.leases.raiseSequence(tx, connection, { now, endsReservation: true });
    const lease = newLease(base, tx.newId(), sequence);
    await this.leases.insert(tx, lease);
    this.lookAtExpiry(tx, lease);
    const result = { lease, reserved: { reservedNodeId: null, reservedUntil: null }, now, isNew: true };
    const acquired = leaseAcquired(connection, lease);
    return { result, events: over === null ? [acquired] : [leaseEnded(connection, over), acquired] };
  }

  /** A token that was never given out as far as this database knows is a sign that it has lost something. */
  private async noteToken({ clusterId, connectionId, nodeId }: AcquireAsk, tokenSeen: number): Promise<void> {
    const lastToken = await this.leases.lastToken(this.query, clusterId, connectionId, nodeId);
    // Who may not know the connection has seen nothing of it.
    if (lastToken === null || tokenSeen <= lastToken) return;
    const evidence = { connectionId, tokenSeen, lastToken };
    const claimedTerm = termOfToken(tokenSeen);
    await this.claims.claimed({ clusterId, nodeId, claimedTerm, source: 'fencing_token', evidence });
  }

  /** Somebody looks when it would end without a renewal; a sweep finds what has lived longer. */
  private lookAtExpiry(tx: Tx, lease: Lease): void {
    const { queue, name } = EXPIRY_JOB;
    const delayMs = lease.expiresAt.getTime() - lease.acquiredAt.getTime();
    tx.afterCommit(() => void this.jobs.enqueue(queue, name, lease.connectionId, { delayMs }));
  }

  private get query(): ReadTx['query'] {
    return (statement) => this.database.queryPrepared(statement);
  }
}

function newLease(
  { ground, connection, term, eligibleUntil }: AcquireBase,
  id: string,
  sequence: number,
): Lease {
  const { now, nodeId } = ground;
  const { id: connectionId, clusterId, leaseTtlSeconds: ttlSeconds } = connection;
  return {
    id,
    clusterId,
    connectionId,
    ownerNodeId: nodeId,
    status: 'active',
    fencingToken: fencingToken(term, sequence),
    acquiredAt: now,
    renewedAt: now,
    expiresAt: firstExpiry(now, ttlSeconds, eligibleUntil),
    eligibleUntil,
    ttlSeconds,
    renewalCount: 0,
    endedAt: null,
    endReason: null,
  };
}
