import type { AuditEvent } from '../../common/audit/audit-event.js';
import type { Lease } from './lease.js';
import type { LeasedConnection } from './lease-rows.js';

/** An owner period as the log tells of it when it ends: it stands for all of its renewals. */
interface Period {
  leaseId: string;
  ownerNodeId: string;
  fencingToken: number;
  acquiredAt: string;
  renewedAt: string;
  renewalCount: number;
  expiresAt: string;
}
interface Granted {
  leaseId: string;
  ownerNodeId: string;
  fencingToken: number;
  expiresAt: string;
}
interface Ended {
  status: Lease['status'];
  endedAt: string;
  endReason: string;
}
interface Reservation {
  toNodeId: string;
  reservedUntil: string;
}

declare module '../../common/audit/audit-event.js' {
  interface AuditActions {
    'vpn_lease.acquired': { before: null; after: Granted };
    /** By people; what nodes renew is counted, and stands in the event of the end. */
    'vpn_lease.renewed': { before: Granted; after: Granted };
    'vpn_lease.released': { before: Period; after: Ended };
    'vpn_lease.expired': { before: Period; after: Ended };
    /** Also of a connection that nobody held: then `before` is null. */
    'vpn_lease.fenced': {
      before: Period | null;
      after: (Ended | { status: null }) & { nextTokenAbove?: number; heldUntil?: string };
    };
    'vpn_lease.handover_requested': { before: Reservation | null; after: Reservation };
    'vpn_lease.handover_withdrawn': { before: Reservation; after: null };
  }
}

type About = Pick<LeasedConnection, 'id' | 'clusterId' | 'organizationId' | 'name'>;

/** All of these are about the connection: whoever looks for its history finds them together. */
function about({ id, clusterId, organizationId, name }: About) {
  const resource = { type: 'vpn_connection', id, name };
  return { resource, clusterId, organizationId, outcome: 'success', reason: null } as const;
}

export function leaseAcquired(connection: About, lease: Lease): AuditEvent {
  return { ...about(connection), action: 'vpn_lease.acquired', before: null, after: granted(lease) };
}

export function leaseRenewed(connection: About, before: Lease, after: Lease): AuditEvent {
  return {
    ...about(connection),
    action: 'vpn_lease.renewed',
    before: granted(before),
    after: granted(after),
  };
}

/** The event of an end, by the status in which the lease has ended. */
export function leaseEnded(connection: About, lease: Lease): AuditEvent {
  const common = { ...about(connection), before: period(lease), after: end(lease) };
  if (lease.status === 'released') return { ...common, action: 'vpn_lease.released' };
  if (lease.status === 'expired') return { ...common, action: 'vpn_lease.expired' };
  return { ...common, action: 'vpn_lease.fenced', reason: lease.endReason };
}

/** The event of a fence, whether or not anybody held the connection. */
export function connectionFenced(
  connection: About,
  lease: Lease | null,
  { reason, nextTokenAbove, heldUntil }: { reason: string; nextTokenAbove: number; heldUntil: Date | null },
): AuditEvent {
  const more = { nextTokenAbove, ...(heldUntil === null ? {} : { heldUntil: heldUntil.toISOString() }) };
  return {
    ...about(connection),
    action: 'vpn_lease.fenced',
    highRisk: true,
    reason,
    before: lease === null ? null : period(lease),
    after: { ...(lease === null ? { status: null } : end(lease)), ...more },
  };
}

export function handoverRequested(
  connection: LeasedConnection,
  { nodeId, until }: { nodeId: string; until: Date },
): AuditEvent {
  const after = { toNodeId: nodeId, reservedUntil: until.toISOString() };
  return {
    ...about(connection),
    action: 'vpn_lease.handover_requested',
    before: reservation(connection),
    after,
  };
}

/** The event of a reservation that ends without a new owner; null when there is none. */
export function handoverWithdrawn(connection: LeasedConnection, reason: string | null): AuditEvent | null {
  const before = reservation(connection);
  if (before === null) return null;
  return { ...about(connection), action: 'vpn_lease.handover_withdrawn', reason, before, after: null };
}

function reservation({ reservedNodeId, reservedUntil }: LeasedConnection): Reservation | null {
  if (reservedNodeId === null || reservedUntil === null) return null;
  return { toNodeId: reservedNodeId, reservedUntil: reservedUntil.toISOString() };
}

function granted({ id, ownerNodeId, fencingToken, expiresAt }: Lease): Granted {
  return { leaseId: id, ownerNodeId, fencingToken, expiresAt: expiresAt.toISOString() };
}

function period(lease: Lease): Period {
  const { acquiredAt, renewedAt, renewalCount } = lease;
  return {
    ...granted(lease),
    acquiredAt: acquiredAt.toISOString(),
    renewedAt: renewedAt.toISOString(),
    renewalCount,
  };
}

function end({ status, endedAt, endReason }: Lease): Ended {
  if (endedAt === null || endReason === null) throw new Error('the lease has not ended');
  return { status, endedAt: endedAt.toISOString(), endReason };
}
