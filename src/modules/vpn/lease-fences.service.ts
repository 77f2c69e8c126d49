import { Injectable } from '@nestjs/common';
import type { z } from 'zod';
import type { Actor } from '../../common/request/actor.js';
import type { Outcome } from '../../common/transaction/transactor.js';
import type { Tx } from '../../common/transaction/tx.js';
import { AuthorityReadModel } from '../authority/authority.read-model.js';
import { decisionTime, ended, fencingToken, isInForce, type Lease, leaseLost } from './lease.js';
import { connectionFenced, leaseEnded } from './lease-events.js';
import { LeaseExpiry } from './lease-expiry.js';
import type { LeasedConnection } from './lease-rows.js';
import { LeaseTransactions } from './lease-transactions.js';
import { LeasesRepository } from './leases.repository.js';
import { type FencedConnection, type FenceLease, leaseView } from './leases.schema.js';
import { noSuchConnection } from './vpn-connection.js';

type Fence = z.infer<typeof FenceLease>;

/** Takes the lease of a connection away, whoever has it, and makes its tokens worthless. */
@Injectable()
export class LeaseFencesService {
  constructor(
    private readonly transactions: LeaseTransactions,
    private readonly leases: LeasesRepository,
    private readonly authorities: AuthorityReadModel,
    private readonly expiry: LeaseExpiry,
  ) {}

  /**
   * Ends what is active and skips a token, even if nothing is. With a token, only if that is still the one; again, if
   * what it named was ended by a fence and nobody has followed.
   * @throws not_found; conflict `lease_lost`; unavailable
   */
  fence(actor: Actor, clusterId: string, connectionId: string, fence: Fence): Promise<FencedConnection> {
    return this.expiry.refusing({ clusterId, connectionId }, (found) =>
      this.transactions.atOnce(actor, async (tx) => {
        if (!(await this.leases.lock(tx, clusterId, connectionId))) throw noSuchConnection();
        const former =
          fence.fencingToken === undefined
            ? null
            : await this.fencedBefore(tx, connectionId, fence.fencingToken);
        const [state] = await this.leases.states(tx, [connectionId]);
        if (state === undefined) throw noSuchConnection();
        const { connection, lease, clock } = state;
        const now = decisionTime(clock, connection, lease);
        found(lease, now);
        if (
          fence.fencingToken !== undefined &&
          !(isInForce(lease, now) && lease?.fencingToken === fence.fencingToken)
        ) {
          if (former === null || lease !== null) throw leaseLost();
          return { result: await this.answer(tx, { connection, lease: former, now }), unchanged: true };
        }
        return this.end(tx, { connection, lease, now }, fence);
      }),
    );
  }

  private async end(
    tx: Tx,
    { connection, lease, now }: { connection: LeasedConnection; lease: Lease | null; now: Date },
    { reason, holdSeconds }: Fence,
  ): Promise<Outcome<FencedConnection>> {
    const isActive = isInForce(lease, now);
    const over =
      lease === null
        ? null
        : isActive
          ? ended(lease, 'fenced', now, reason)
          : ended(lease, 'expired', lease.expiresAt);
    if (over !== null) await this.leases.update(tx, over);
    const lastSequence = await this.leases.skipSequence(tx, connection, now);
    const heldUntil = holdSeconds === undefined ? null : new Date(now.getTime() + holdSeconds * 1_000);
    if (heldUntil !== null) await this.leases.holdAfterFence(tx, connection, heldUntil);
    const fenced = isActive ? over : null;
    const next = { ...connection, lastSequence, fenceHeldUntil: heldUntil ?? connection.fenceHeldUntil };
    const result = await this.answer(tx, { connection: next, lease: fenced, now });
    const event = connectionFenced(connection, fenced, {
      reason,
      nextTokenAbove: result.nextTokenAbove,
      heldUntil,
    });
    const events = over === null || isActive ? [event] : [leaseEnded(connection, over), event];
    return { result, events: events as [typeof event] };
  }

  /** The lease of that token, where a fence has ended it and nobody has followed. */
  private async fencedBefore(tx: Tx, connectionId: string, token: number): Promise<Lease | null> {
    const [last] = await this.leases.list(tx, connectionId, null, 1);
    return last?.fencingToken === token && last.status === 'fenced' ? last : null;
  }

  private async answer(
    tx: Tx,
    { connection, lease, now }: { connection: LeasedConnection; lease: Lease | null; now: Date },
  ): Promise<FencedConnection> {
    const { clusterId, lastSequence, fenceHeldUntil } = connection;
    const authority = (await this.authorities.byCluster(tx, [clusterId])).get(clusterId);
    if (authority === undefined) throw new Error(`cluster ${clusterId} has no authority`);
    const isHeld = fenceHeldUntil !== null && now < fenceHeldUntil;
    return {
      lease: lease === null ? null : leaseView(lease, now),
      nextTokenAbove: fencingToken(authority.term, lastSequence),
      heldUntil: isHeld ? fenceHeldUntil.toISOString() : null,
      serverTime: now.toISOString(),
    };
  }
}
