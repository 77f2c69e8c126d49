import { Injectable } from '@nestjs/common';
import { FABRIC_NOW } from '../../common/database/fabric-now.js';
import { sql } from '../../common/database/sql.js';
import type { CursorValues } from '../../common/http/cursor.js';
import type { ReadTx, Tx } from '../../common/transaction/tx.js';
import { decisionTime, type Lease } from './lease.js';
import {
  type ConnectionState,
  LEASE,
  type LeasedConnection,
  type LeaseLook,
  type LeaseViewer,
  type LookRow,
  lookOf,
  REST_OF_CONNECTION,
  type RenewableLease,
  type StateRow,
  stateOf,
} from './lease-rows.js';

@Injectable()
export class LeasesRepository {
  /**
   * One statement, no lock: what is committed, and a time not before it. In the order of `viewers`, each of which is of
   * the cluster; null where there is no such connection.
   */
  async looks(
    query: ReadTx['query'],
    clusterId: string,
    viewers: readonly LeaseViewer[],
  ): Promise<(LeaseLook | null)[]> {
    const rows = await query<LookRow>(sql`
      SELECT v.place::int AS place,
             EXISTS (SELECT 1 FROM vpn_connection_allowed_nodes AS a
                      WHERE a.connection_id = c.id AND a.node_id = v.node_id) AS "isAllowed",
             coalesce(o.fencing_token, 0) AS "lastToken",
             coalesce(o.status IN ('active', 'expired') AND o.owner_node_id <> v.node_id, false) AS "followsLapse",
             c.reserved_node_id AS "reservedNodeId", c.reserved_until AS "reservedUntil",
             c.decided_at AS "decidedAt", ${FABRIC_NOW} AS clock, ${LEASE}
        FROM unnest(${viewers.map((viewer) => viewer.connectionId)}::uuid[], ${viewers.map((viewer) => viewer.nodeId)}::uuid[])
             WITH ORDINALITY AS v (connection_id, node_id, place)
        JOIN vpn_connections AS c ON c.id = v.connection_id AND c.cluster_id = ${clusterId}::uuid AND c.deleted_at IS NULL
        LEFT JOIN vpn_connection_leases AS l ON l.connection_id = c.id AND l.status = 'active'
        LEFT JOIN LATERAL (
          SELECT p.status, p.owner_node_id, p.fencing_token FROM vpn_connection_leases AS p
           WHERE p.connection_id = c.id ORDER BY p.fencing_token DESC LIMIT 1) AS o ON true`);
    const looks: (LeaseLook | null)[] = viewers.map(() => null);
    for (const row of rows) looks[row.place - 1] = lookOf(row);
    return looks;
  }

  /** The same for one. */
  async look(query: ReadTx['query'], clusterId: string, viewer: LeaseViewer): Promise<LeaseLook | null> {
    const [look] = await this.looks(query, clusterId, [viewer]);
    return look ?? null;
  }

  /**
   * Waits for whatever is done with the connection's lease, and keeps it waiting. What decides is read afterwards, the
   * time last of all: what was good before the wait may be over. False when there is no such connection.
   */
  async lock(tx: Tx, clusterId: string, connectionId: string): Promise<boolean> {
    const rows = await tx.query(sql`
      SELECT c.id FROM vpn_connections AS c
       WHERE c.cluster_id = ${clusterId}::uuid AND c.id = ${connectionId}::uuid AND c.deleted_at IS NULL
         FOR NO KEY UPDATE`);
    return rows.length === 1;
  }

  /** Locks in the order of their ids the connections that one of these nodes holds, or that are reserved for it. */
  async lockOfNodes(tx: Tx, clusterId: string, nodeIds: readonly string[]): Promise<string[]> {
    const rows = await tx.query<{ id: string }>(sql`
      SELECT c.id FROM vpn_connections AS c
       WHERE c.id IN (SELECT l.connection_id FROM vpn_connection_leases AS l
                       WHERE l.cluster_id = ${clusterId}::uuid AND l.owner_node_id = ANY(${nodeIds}::uuid[])
                         AND l.status = 'active'
                      UNION ALL
                      SELECT r.id FROM vpn_connections AS r
                       WHERE r.cluster_id = ${clusterId}::uuid AND r.reserved_node_id = ANY(${nodeIds}::uuid[]))
       ORDER BY c.id FOR NO KEY UPDATE`);
    return rows.map(({ id }) => id);
  }

  /**
   * These connections in the order of their ids, with the time. To be asked in a statement of its own after the lock:
   * the one that locks still sees what was before it waited, and its time.
   */
  async states(tx: ReadTx, connectionIds: readonly string[]): Promise<ConnectionState[]> {
    const rows = await tx.query<StateRow>(sql`
      SELECT c.id AS "ownId", c.cluster_id AS "ownClusterId", ${REST_OF_CONNECTION}, ${FABRIC_NOW} AS clock, ${LEASE}
        FROM vpn_connections AS c
        LEFT JOIN vpn_connection_leases AS l ON l.connection_id = c.id AND l.status = 'active'
       WHERE c.id = ANY(${connectionIds}::uuid[]) ORDER BY c.id`);
    return rows.map(stateOf);
  }

  /** Every node of the cluster that has a lease, or that a connection is reserved for. */
  async nodesWithLeases(tx: ReadTx, clusterId: string): Promise<string[]> {
    const rows = await tx.query<{ nodeId: string }>(sql`
      SELECT l.owner_node_id AS "nodeId" FROM vpn_connection_leases AS l
       WHERE l.cluster_id = ${clusterId}::uuid AND l.status = 'active'
       UNION
      SELECT c.reserved_node_id FROM vpn_connections AS c
       WHERE c.cluster_id = ${clusterId}::uuid AND c.reserved_node_id IS NOT NULL`);
    return rows.map(({ nodeId }) => nodeId);
  }

  /** The connections that the node has stored as its own, in the order of their ids. */
  async heldBy(tx: ReadTx, clusterId: string, nodeId: string): Promise<string[]> {
    const rows = await tx.query<{ id: string }>(sql`
      SELECT l.connection_id AS id FROM vpn_connection_leases AS l
       WHERE l.cluster_id = ${clusterId}::uuid AND l.owner_node_id = ${nodeId}::uuid AND l.status = 'active'
       ORDER BY l.connection_id`);
    return rows.map(({ id }) => id);
  }

  /** Locks those of these connections that nobody is at, in the order of their ids, and waits for none. */
  async lockFree(tx: Tx, connectionIds: readonly string[]): Promise<string[]> {
    const rows = await tx.query<{ id: string }>(sql`
      SELECT c.id FROM vpn_connections AS c WHERE c.id = ANY(${connectionIds}::uuid[]) AND c.deleted_at IS NULL
       ORDER BY c.id FOR NO KEY UPDATE SKIP LOCKED`);
    return rows.map(({ id }) => id);
  }

  /** The active leases of locked connections with the time, read after the locks. */
  renewable(tx: Tx, connectionIds: readonly string[]): Promise<RenewableLease[]> {
    return tx
      .query<Lease & Omit<RenewableLease, 'lease' | 'now'> & { clock: Date; decidedAt: Date | null }>(sql`
      SELECT ${LEASE}, c.lease_ttl_seconds AS "leaseTtlSeconds", c.reserved_node_id AS "reservedNodeId",
             c.reserved_until AS "reservedUntil", c.decided_at AS "decidedAt", ${FABRIC_NOW} AS clock
        FROM vpn_connection_leases AS l JOIN vpn_connections AS c ON c.id = l.connection_id
       WHERE l.connection_id = ANY(${connectionIds}::uuid[]) AND l.status = 'active'`)
      .then((rows) =>
        rows.map(({ leaseTtlSeconds, reservedNodeId, reservedUntil, decidedAt, clock, ...lease }) => ({
          lease,
          leaseTtlSeconds,
          reservedNodeId,
          reservedUntil,
          now: decisionTime(clock, { decidedAt }, lease),
        })),
      );
  }

  /** Writes down many renewals in one statement. */
  async renewAll(tx: Tx, leases: readonly Lease[]): Promise<void> {
    const column = <T>(pick: (lease: Lease) => T) => leases.map(pick);
    await tx.query(sql`
      UPDATE vpn_connection_leases AS l
         SET renewed_at = n.renewed_at, expires_at = n.expires_at, ttl_seconds = n.ttl, renewal_count = n.count
        FROM unnest(${column((l) => l.id)}::uuid[], ${column((l) => l.renewedAt)}::timestamptz[],
                    ${column((l) => l.expiresAt)}::timestamptz[], ${column((l) => l.ttlSeconds)}::integer[],
                    ${column((l) => l.renewalCount)}::integer[]) AS n (id, renewed_at, expires_at, ttl, count)
       WHERE l.id = n.id`);
  }

  /** Locks connections whose lease is over and not written down, and waits for none. */
  async lockOver(tx: Tx, connectionIds: readonly string[] | 'all', limit: number): Promise<string[]> {
    const which = connectionIds === 'all' ? sql`true` : sql`l.connection_id = ANY(${connectionIds}::uuid[])`;
    const rows = await tx.query<{ id: string }>(sql`
      SELECT c.id FROM vpn_connection_leases AS l JOIN vpn_connections AS c ON c.id = l.connection_id
       WHERE l.status = 'active' AND l.expires_at <= greatest(${FABRIC_NOW}, c.decided_at) AND ${which}
       ORDER BY c.id LIMIT ${limit} FOR NO KEY UPDATE OF c SKIP LOCKED`);
    return rows.map(({ id }) => id);
  }

  /** The leases that these tokens name, by connection: one for each. */
  async findByTokens(
    tx: ReadTx,
    named: readonly { connectionId: string; fencingToken: number }[],
  ): Promise<Map<string, Lease>> {
    const rows = await tx.query<Lease>(sql`
      SELECT ${LEASE}
        FROM unnest(${named.map(({ connectionId }) => connectionId)}::uuid[],
                    ${named.map(({ fencingToken }) => fencingToken)}::bigint[]) AS n (connection_id, fencing_token)
        JOIN vpn_connection_leases AS l ON l.connection_id = n.connection_id AND l.fencing_token = n.fencing_token`);
    return new Map(rows.map((lease) => [lease.connectionId, lease]));
  }

  async find(tx: ReadTx, connectionId: string, id: string): Promise<Lease | null> {
    const [row] = await tx.query<Lease>(sql`
      SELECT ${LEASE} FROM vpn_connection_leases AS l
       WHERE l.connection_id = ${connectionId}::uuid AND l.id = ${id}::uuid`);
    return row ?? null;
  }

  /** The newest owner period first; one more than `limit`, so that the page knows whether another follows. */
  list(tx: ReadTx, connectionId: string, after: CursorValues | null, limit: number): Promise<Lease[]> {
    const beyond = after === null ? sql`true` : sql`l.fencing_token < ${after[0]}::bigint`;
    return tx.query<Lease>(sql`
      SELECT ${LEASE} FROM vpn_connection_leases AS l
       WHERE l.connection_id = ${connectionId}::uuid AND ${beyond} ORDER BY l.fencing_token DESC LIMIT ${limit + 1}`);
  }

  /** Skips a sequence of a locked connection at `now`. @returns the one that nobody gets */
  async skipSequence(tx: Tx, { id }: LeasedConnection, now: Date): Promise<number> {
    const [row] = await tx.query<{ sequence: number }>(sql`
      UPDATE vpn_connections AS c SET last_sequence = c.last_sequence + 1, decided_at = ${now}
       WHERE c.id = ${id}::uuid RETURNING c.last_sequence AS sequence`);
    if (row === undefined) throw new Error('the connection is gone');
    return row.sequence;
  }

  /**
   * Takes the next sequence of each of these locked connections for the lease that is given there, at the instant of its
   * acquisition; that ends the reservation for it. One lease for a connection.
   */
  async takeSequences(tx: Tx, leases: readonly Lease[]): Promise<void> {
    await tx.query(sql`
      UPDATE vpn_connections AS c
         SET last_sequence = c.last_sequence + 1, decided_at = n.now, reserved_node_id = NULL, reserved_until = NULL
        FROM unnest(${leases.map(({ connectionId }) => connectionId)}::uuid[],
                    ${leases.map(({ acquiredAt }) => acquiredAt)}::timestamptz[]) AS n (id, now)
       WHERE c.id = n.id`);
  }

  async insertAll(tx: Tx, leases: readonly Lease[]): Promise<void> {
    const column = <T>(pick: (lease: Lease) => T) => leases.map(pick);
    await tx.query(sql`
      INSERT INTO vpn_connection_leases (id, cluster_id, connection_id, owner_node_id, fencing_token, acquired_at,
             renewed_at, expires_at, eligible_until, ttl_seconds)
      SELECT n.id, n.cluster_id, n.connection_id, n.owner_node_id, n.fencing_token, n.acquired_at, n.renewed_at,
             n.expires_at, n.eligible_until, n.ttl_seconds
        FROM unnest(${column((l) => l.id)}::uuid[], ${column((l) => l.clusterId)}::uuid[],
                    ${column((l) => l.connectionId)}::uuid[], ${column((l) => l.ownerNodeId)}::uuid[],
                    ${column((l) => l.fencingToken)}::bigint[], ${column((l) => l.acquiredAt)}::timestamptz[],
                    ${column((l) => l.renewedAt)}::timestamptz[], ${column((l) => l.expiresAt)}::timestamptz[],
                    ${column((l) => l.eligibleUntil)}::timestamptz[], ${column((l) => l.ttlSeconds)}::integer[])
          AS n (id, cluster_id, connection_id, owner_node_id, fencing_token, acquired_at, renewed_at, expires_at,
                eligible_until, ttl_seconds)`);
  }

  /** Writes down a renewal, an end, or a nearer end of eligibility. */
  async update(tx: Tx, lease: Lease): Promise<void> {
    await tx.query(sql`
      UPDATE vpn_connection_leases AS l
         SET status = ${lease.status}, renewed_at = ${lease.renewedAt}, expires_at = ${lease.expiresAt},
             eligible_until = ${lease.eligibleUntil}, ttl_seconds = ${lease.ttlSeconds},
             renewal_count = ${lease.renewalCount}, ended_at = ${lease.endedAt}, end_reason = ${lease.endReason}
       WHERE l.id = ${lease.id}::uuid`);
  }

  /** Writes down an end that was decided on at `now`. */
  end(tx: Tx, lease: Lease, now: Date): Promise<void> {
    return this.endAll(tx, [{ lease, now }]);
  }

  /** The same for leases of several connections. */
  async endAll(tx: Tx, ends: readonly { lease: Lease; now: Date }[]): Promise<void> {
    const column = <T>(pick: (lease: Lease) => T) => ends.map(({ lease }) => pick(lease));
    await tx.query(sql`
      WITH n AS (
        SELECT e.* FROM unnest(${column((l) => l.id)}::uuid[], ${column((l) => l.connectionId)}::uuid[],
                               ${column((l) => l.status)}::text[], ${column((l) => l.endedAt)}::timestamptz[],
                               ${column((l) => l.endReason)}::text[], ${ends.map(({ now }) => now)}::timestamptz[])
                      AS e (id, connection_id, status, ended_at, end_reason, now)
      ), ended AS (
        UPDATE vpn_connection_leases AS l SET status = n.status, ended_at = n.ended_at, end_reason = n.end_reason
          FROM n WHERE l.id = n.id)
      UPDATE vpn_connections AS c SET decided_at = n.now FROM n WHERE c.id = n.connection_id`);
  }

  async holdAfterFence(tx: Tx, { id }: LeasedConnection, until: Date): Promise<void> {
    await tx.query(sql`UPDATE vpn_connections AS c SET fence_held_until = ${until} WHERE c.id = ${id}::uuid`);
  }

  /** Keeps the connection for one node; null ends that. */
  async reserve(
    tx: Tx,
    { id }: Pick<LeasedConnection, 'id'>,
    reservation: { nodeId: string; until: Date } | null,
  ): Promise<void> {
    await tx.query(sql`
      UPDATE vpn_connections AS c
         SET reserved_node_id = ${reservation?.nodeId ?? null}::uuid, reserved_until = ${reservation?.until ?? null}
       WHERE c.id = ${id}::uuid`);
  }
}
