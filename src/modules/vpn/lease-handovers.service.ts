import { Injectable } from '@nestjs/common';
import type { z } from 'zod';
import { conflict } from '../../common/errors/domain-error.js';
import type { Actor } from '../../common/request/actor.js';
import type { Outcome } from '../../common/transaction/transactor.js';
import type { Tx } from '../../common/transaction/tx.js';
import { AcquireGrounds } from './acquire-grounds.js';
import { explainAcquire } from './acquire-rules.js';
import { isInForce, type Lease } from './lease.js';
import { handoverRequested, handoverWithdrawn } from './lease-events.js';
import type { LeasedConnection } from './lease-rows.js';
import { LeaseTransactions } from './lease-transactions.js';
import { LeasesRepository } from './leases.repository.js';
import { type HandOverLease, leaseView, type ReservedConnection } from './leases.schema.js';

/** A reservation lasts so many lifetimes of a lease, and so long at least, unless somebody says otherwise. */
const LIFETIMES = 2;
const SHORTEST_SECONDS = 60;

/**
 * Moves a connection to another node by agreement: its holder is asked to release it, with each renewal, and for a while
 * only the named node may follow. At every instant either the holder has it or that node alone may take it.
 */
@Injectable()
export class LeaseHandoversService {
  constructor(
    private readonly transactions: LeaseTransactions,
    private readonly leases: LeasesRepository,
    private readonly grounds: AcquireGrounds,
  ) {}

  /**
   * Keeps the connection for the node; for the one that holds it, withdraws what was asked before.
   * @throws not_found; conflict `owner_not_eligible`; unavailable
   */
  handOver(
    actor: Actor,
    clusterId: string,
    connectionId: string,
    { toNodeId, reserveSeconds }: z.infer<typeof HandOverLease>,
  ): Promise<ReservedConnection> {
    const nodeId = toNodeId.toLowerCase();
    return this.transactions.atOnce(actor, (tx) =>
      this.request(tx, { clusterId, connectionId, nodeId }, reserveSeconds),
    );
  }

  /** The same by the service itself, for failback or before an update, in the caller's transaction, and only where
   *  nobody has been asked yet and an acquisition would not be held. */
  async failBack(
    tx: Tx,
    ask: { clusterId: string; connectionId: string; nodeId: string },
  ): Promise<Outcome<ReservedConnection | undefined>> {
    const { ground, connection } = await this.grounds.hold(tx, { ...ask, tokenSeen: null });
    const { now, reservation } = ground;
    if (reservation !== null && reservation.until > now) {
      const lease = isInForce(ground.lease, now) ? ground.lease : null;
      return { result: answer(connection, lease, now), unchanged: true };
    }
    const isHeld = explainAcquire(ground).some(
      ({ rule, passed }) => !passed && rule !== 'not_held_by_another' && rule !== 'no_preferred_node',
    );
    return isHeld ? { result: undefined, unchanged: true } : this.request(tx, ask);
  }

  private async request(
    tx: Tx,
    ask: { clusterId: string; connectionId: string; nodeId: string },
    reserveSeconds?: number,
  ): Promise<Outcome<ReservedConnection>> {
    const { ground, connection } = await this.grounds.hold(tx, { ...ask, tokenSeen: null });
    const { now, ineligible } = ground;
    const lease = isInForce(ground.lease, now) ? ground.lease : null;
    if (lease?.ownerNodeId === ask.nodeId) return this.withdraw(tx, connection, lease, now);
    if (ineligible.length > 0) {
      throw conflict(
        'owner_not_eligible',
        `The node may not hold this connection: ${ineligible.join(', ')}.`,
        {
          extensions: { reasons: [...ineligible] },
        },
      );
    }
    const seconds = reserveSeconds ?? Math.max(SHORTEST_SECONDS, LIFETIMES * connection.leaseTtlSeconds);
    const reservation = { nodeId: ask.nodeId, until: new Date(now.getTime() + seconds * 1_000) };
    await this.leases.reserve(tx, connection, reservation);
    const reserved = { ...connection, reservedNodeId: ask.nodeId, reservedUntil: reservation.until };
    return { result: answer(reserved, lease, now), events: [handoverRequested(connection, reservation)] };
  }

  private async withdraw(
    tx: Tx,
    connection: LeasedConnection,
    lease: Lease,
    now: Date,
  ): Promise<Outcome<ReservedConnection>> {
    const event = handoverWithdrawn(connection, null);
    const free = { ...connection, reservedNodeId: null, reservedUntil: null };
    if (event === null) return { result: answer(free, lease, now), unchanged: true };
    await this.leases.reserve(tx, connection, null);
    return { result: answer(free, lease, now), events: [event] };
  }
}

function answer(connection: LeasedConnection, lease: Lease | null, now: Date): ReservedConnection {
  return {
    lease: lease === null ? null : leaseView(lease, now, connection),
    toNodeId: connection.reservedNodeId,
    reservedUntil: connection.reservedUntil?.toISOString() ?? null,
    serverTime: now.toISOString(),
  };
}
