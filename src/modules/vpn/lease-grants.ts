import { Injectable } from '@nestjs/common';
import { DomainError } from '../../common/errors/domain-error.js';
import { Jobs } from '../../common/jobs/jobs.js';
import type { Tx } from '../../common/transaction/tx.js';
import type { AcquireAsk, AcquireBase } from './acquire-grounds.js';
import { owns, requireAcquirable } from './acquire-rules.js';
import { ended, fencingToken, firstExpiry, type Lease, leaseHeld } from './lease.js';
import { leaseAcquired, leaseEnded } from './lease-events.js';
import { EXPIRY_JOB } from './lease-expiry.js';
import { LeasesRepository } from './leases.repository.js';
import type { Reserved } from './leases.schema.js';
import type { Decision } from './shared-lease-calls.js';
import { noSuchConnection } from './vpn-connection.js';

/** A lease that was given, or that the node had. */
export interface Acquired {
  lease: Lease;
  reserved: Reserved;
  now: Date;
  isNew: boolean;
}

/** Who asks for a lease. @property isOwn the node itself: a connection that does not allow it is not there for it */
export type GrantAsk = AcquireAsk & { isOwn: boolean };

/** What a transaction is about to write. */
interface Writing {
  given: Lease[];
  over: Lease[];
}

/** Gives leases on grounds that are held. */
@Injectable()
export class LeaseGrants {
  constructor(
    private readonly leases: LeasesRepository,
    private readonly jobs: Jobs,
  ) {}

  /** Decides each ask by itself, in their order: of several for one connection the first that may have it gets it. */
  async giveAll<Ask extends GrantAsk>(
    tx: Tx,
    bases: ReadonlyMap<Ask, AcquireBase>,
  ): Promise<Map<Ask, Exclude<Decision<Acquired>, 'alone'>>> {
    const writing: Writing = { given: [], over: [] };
    const decisions = new Map(
      [...bases].map(([ask, base]) => [ask, decide(tx, ask, base, writing)] as const),
    );
    for (const lease of writing.over) await this.leases.update(tx, lease);
    if (writing.given.length > 0) {
      await this.leases.takeSequences(tx, writing.given);
      await this.leases.insertAll(tx, writing.given);
      this.lookAtExpiry(tx, writing.given);
    }
    return decisions;
  }

  /** Somebody looks when they would end without a renewal; a sweep finds what has lived longer. */
  private lookAtExpiry(tx: Tx, leases: readonly Lease[]): void {
    const { queue, name } = EXPIRY_JOB;
    const nudges = leases.map(({ connectionId: id, expiresAt, acquiredAt }) => ({
      id,
      delayMs: expiresAt.getTime() - acquiredAt.getTime(),
    }));
    tx.afterCommit(() => void this.jobs.enqueueAll(queue, name, nudges));
  }
}

function decide(
  tx: Tx,
  ask: GrantAsk,
  base: AcquireBase,
  { given, over }: Writing,
): Exclude<Decision<Acquired>, 'alone'> {
  const { ground, connection } = base;
  const { now, lease: stored } = ground;
  if (ask.isOwn && !base.isAllowed) return noSuchConnection();
  const before = given.find(({ connectionId }) => connectionId === connection.id);
  if (before !== undefined) return leaseHeld(before);
  if (stored !== null && owns(ground))
    return { result: { lease: stored, reserved: connection, now, isNew: false }, events: [] };
  try {
    requireAcquirable(ground);
  } catch (error) {
    if (error instanceof DomainError) return error;
    throw error;
  }
  const lease = newLease(base, tx.newId());
  given.push(lease);
  const result = { lease, reserved: { reservedNodeId: null, reservedUntil: null }, now, isNew: true };
  const acquired = leaseAcquired(connection, lease);
  if (stored === null) return { result, events: [acquired] };
  const expired = ended(stored, 'expired', stored.expiresAt);
  over.push(expired);
  return { result, events: [leaseEnded(connection, expired), acquired] };
}

/** With the token of the connection's next sequence, which is taken together with it. */
function newLease({ ground, connection, term, eligibleUntil }: AcquireBase, id: string): Lease {
  const { now, nodeId } = ground;
  const { id: connectionId, clusterId, leaseTtlSeconds: ttlSeconds } = connection;
  return {
    id,
    clusterId,
    connectionId,
    ownerNodeId: nodeId,
    status: 'active',
    fencingToken: fencingToken(term, connection.lastSequence + 1),
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
