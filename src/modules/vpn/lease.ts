import { conflict, type DomainError } from '../../common/errors/domain-error.js';

/** The right of one node to run a connection, for a time: one owner period, from its acquisition to its end. */
export interface Lease {
  id: string;
  clusterId: string;
  connectionId: string;
  ownerNodeId: string;
  /** As it is stored: an active one whose time is over may still be called so. */
  status: LeaseStatus;
  fencingToken: number;
  acquiredAt: Date;
  renewedAt: Date;
  /** Exclusive: at this instant it is over. */
  expiresAt: Date;
  /** When the owner's role runs out; null: never. No expiry lies behind it. */
  eligibleUntil: Date | null;
  ttlSeconds: number;
  renewalCount: number;
  endedAt: Date | null;
  /** null while it is active; the word of whoever fenced it, or a code. */
  endReason: string | null;
}

export type LeaseStatus = 'active' | 'released' | 'expired' | 'fenced';

/** A finished lease never lives again. */
export const NEXT_LEASE_STATUS: Record<LeaseStatus, readonly LeaseStatus[]> = {
  active: ['released', 'expired', 'fenced'],
  released: [],
  expired: [],
  fenced: [],
};

/** Sequences of one authority term: the lower half of a fencing token. */
const SEQUENCES = 2 ** 32;

/** Above every token of the same connection before it, as long as neither term nor sequence goes back. */
export function fencingToken(term: number, sequence: number): number {
  const token = term * SEQUENCES + sequence;
  if (sequence >= SEQUENCES || !Number.isSafeInteger(token))
    throw new Error(`no fencing token for term ${term} and sequence ${sequence}`);
  return token;
}

/** The authority term that a token carries. */
export function termOfToken(token: number): number {
  return Math.floor(token / SEQUENCES);
}

/**
 * The time by which a connection's lease is decided over, or shown: the clock's, and never before a decision that was
 * made. The record of the database's clock is about a second old; what was decided within that second stands here.
 */
export function decisionTime(
  clock: Date,
  { decidedAt }: { decidedAt: Date | null },
  lease: Pick<Lease, 'renewedAt'> | null,
): Date {
  return new Date(Math.max(Number(clock), Number(decidedAt ?? 0), Number(lease?.renewedAt ?? 0)));
}

/** Whether the lease gives its owner anything at `now`. */
export function isInForce(lease: Lease | null, now: Date): boolean {
  return lease !== null && lease.status === 'active' && now < lease.expiresAt;
}

/** Whether the node may act on the lease at `now` with this token. */
export function isHolder(
  lease: Lease | null,
  { nodeId, fencingToken: token }: { nodeId: string; fencingToken: number },
  now: Date,
): boolean {
  return isInForce(lease, now) && lease?.ownerNodeId === nodeId && lease.fencingToken === token;
}

/** The lease as it is at `now`: its expiry holds at its instant, whether or not anybody has written it down. */
export function leaseAt(lease: Lease, now: Date): Lease {
  return lease.status !== 'active' || isInForce(lease, now)
    ? lease
    : ended(lease, 'expired', lease.expiresAt);
}

/** The lease with its end. @throws Error when it has ended before */
export function ended(
  lease: Lease,
  status: 'released' | 'expired' | 'fenced',
  endedAt: Date,
  endReason: string = status,
): Lease {
  if (!NEXT_LEASE_STATUS[lease.status].includes(status)) throw new Error(`a ${lease.status} lease has ended`);
  return { ...lease, status, endedAt, endReason };
}

/** When a lease that is acquired at `now` ends. */
export function firstExpiry(now: Date, ttlSeconds: number, eligibleUntil: Date | null): Date {
  const expiry = new Date(now.getTime() + ttlSeconds * 1_000);
  return eligibleUntil !== null && eligibleUntil < expiry ? eligibleUntil : expiry;
}

/**
 * The lease renewed at `now`. Never to an earlier end: an owner whose answer is lost believes in the one that it knows.
 * @param ttlSeconds of the connection, which may have changed meanwhile
 */
export function renewed(lease: Lease, now: Date, ttlSeconds: number): Lease {
  const expiry = firstExpiry(now, ttlSeconds, lease.eligibleUntil);
  return {
    ...lease,
    renewedAt: now,
    expiresAt: new Date(Math.max(Number(expiry), Number(lease.expiresAt))),
    ttlSeconds,
    renewalCount: lease.renewalCount + 1,
  };
}

/** The refusal of a node by another's lease. */
export function leaseHeld({ expiresAt }: Pick<Lease, 'expiresAt'>): DomainError {
  return conflict('lease_held', 'Another node holds the lease.', {
    extensions: { expiresAt: expiresAt.toISOString() },
  });
}

/** The refusal of a token that is not the active lease's, or comes too late. */
export function leaseLost(): DomainError {
  return conflict('lease_lost', 'The fencing token is not that of an active lease of this node.');
}
