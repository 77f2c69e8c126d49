import { sql } from '../../common/database/sql.js';
import { decisionTime, type Lease } from './lease.js';
import type { VpnDesiredState, VpnKind } from './vpn-connection.js';

/** A connection as its leases depend on it. */
export interface LeasedConnection {
  id: string;
  clusterId: string;
  organizationId: string | null;
  name: string;
  kind: VpnKind;
  desiredState: VpnDesiredState;
  leaseTtlSeconds: number;
  lastSequence: number;
  fenceHeldUntil: Date | null;
  reservedNodeId: string | null;
  reservedUntil: Date | null;
  /** Of the last decision over its lease that was no renewal; null: there was none. */
  decidedAt: Date | null;
  enabledAt: Date;
  isDeleted: boolean;
}

/** Whose view of which connection is wanted. */
export interface LeaseViewer {
  connectionId: string;
  nodeId: string;
}

/** What is seen of a connection without waiting for anybody. */
export interface LeaseLook {
  isAllowed: boolean;
  /** The highest token that was given out or skipped, as far as is known. */
  lastToken: number;
  /** The last lease was another node's and ended by its time, written down or not. */
  followsLapse: boolean;
  reservedNodeId: string | null;
  reservedUntil: Date | null;
  /** Stored as active, whether or not its time is over. */
  lease: Lease | null;
  now: Date;
}

/** A connection with the lease that is stored as active, whether or not its time is over. */
export interface ConnectionState {
  connection: LeasedConnection;
  lease: Lease | null;
  /** The time of the clock when this was read: of a locked connection, after the lock. */
  clock: Date;
}

/** A lease that is to be renewed together with others. */
export interface RenewableLease {
  lease: Lease;
  leaseTtlSeconds: number;
  reservedNodeId: string | null;
  reservedUntil: Date | null;
  now: Date;
}

/** Of `vpn_connections AS c`, beside what its lease has too. */
export const REST_OF_CONNECTION = sql`c.organization_id AS "organizationId", c.name, c.kind,
  c.desired_state AS "desiredState", c.lease_ttl_seconds AS "leaseTtlSeconds", c.last_sequence AS "lastSequence",
  c.fence_held_until AS "fenceHeldUntil", c.reserved_node_id AS "reservedNodeId", c.reserved_until AS "reservedUntil",
  c.decided_at AS "decidedAt", c.enabled_at AS "enabledAt", c.deleted_at IS NOT NULL AS "isDeleted"`;

/** Of `vpn_connections AS c`. */
export const CONNECTION = sql`c.id, c.cluster_id AS "clusterId", ${REST_OF_CONNECTION}`;

/** Of `vpn_connection_leases AS l`. */
export const LEASE = sql`l.id, l.cluster_id AS "clusterId", l.connection_id AS "connectionId",
  l.owner_node_id AS "ownerNodeId", l.status, l.fencing_token AS "fencingToken", l.acquired_at AS "acquiredAt",
  l.renewed_at AS "renewedAt", l.expires_at AS "expiresAt", l.eligible_until AS "eligibleUntil",
  l.ttl_seconds AS "ttlSeconds", l.renewal_count AS "renewalCount", l.ended_at AS "endedAt", l.end_reason AS "endReason"`;

/** A look as a statement answers it. */
export type LookRow = Omit<LeaseLook, 'lease' | 'now'> & {
  /** From 1. */
  place: number;
  clock: Date;
  decidedAt: Date | null;
} & (Lease | { [Key in keyof Lease]: null });

/** Splits what a statement answers in one row. */
export function lookOf({ place: _, clock, decidedAt, ...row }: LookRow): LeaseLook {
  const { isAllowed, lastToken, followsLapse, reservedNodeId, reservedUntil, ...rest } = row;
  const lease = rest.id === null ? null : rest;
  const now = decisionTime(clock, { decidedAt }, lease);
  return { isAllowed, lastToken, followsLapse, reservedNodeId, reservedUntil, now, lease };
}

/** A state as a statement answers it. */
export type StateRow = Omit<LeasedConnection, 'id' | 'clusterId'> & {
  ownId: string;
  ownClusterId: string;
  clock: Date;
} & (Lease | { [Key in keyof Lease]: null });

/** Splits what a statement answers in one row. */
export function stateOf({ ownId, ownClusterId, clock, ...row }: StateRow): ConnectionState {
  const { organizationId, name, kind, desiredState, leaseTtlSeconds, lastSequence, decidedAt, ...others } =
    row;
  const { fenceHeldUntil, reservedNodeId, reservedUntil, enabledAt, isDeleted, ...lease } = others;
  const settings = { organizationId, name, kind, desiredState, leaseTtlSeconds, lastSequence, decidedAt };
  const held = { fenceHeldUntil, reservedNodeId, reservedUntil, enabledAt, isDeleted };
  return {
    connection: { id: ownId, clusterId: ownClusterId, ...settings, ...held },
    lease: lease.id === null ? null : lease,
    clock,
  };
}
