import { Injectable } from '@nestjs/common';
import { sql } from '../../common/database/sql.js';
import type { ReadTx } from '../../common/transaction/tx.js';
import type { Lease } from './lease.js';
import type { LeaseViewer } from './lease-rows.js';

/** Where a node stands among those that may hold a connection. */
export interface Place {
  nodeId: string;
  /** From 0, the most preferred; null: not among the preferred. */
  preference: number | null;
}

/** Who may hold a connection, and who held it last, as far as that has ended in writing. */
export interface Standing {
  places: Place[];
  former: FormerLease | null;
}

/** A connection whose owner a preferred node may be to follow. */
export interface DueFailback {
  clusterId: string;
  connectionId: string;
  /** How long the preferred node must have been well. */
  stableSeconds: number;
}

/** The end of the lease before. */
export interface FormerLease {
  ownerNodeId: string;
  status: Lease['status'];
  endedAt: Date;
}

/** Reads who may hold connections and who comes before whom; what is decided by it locks the connection first. */
@Injectable()
export class LeaseStandingsRepository {
  /** Who may hold these connections, as `<connection>/<node>`. */
  async allowedPairs(tx: ReadTx, connectionIds: readonly string[]): Promise<Set<string>> {
    const rows = await tx.query<{ pair: string }>(sql`
      SELECT a.connection_id || '/' || a.node_id AS pair FROM vpn_connection_allowed_nodes AS a
       WHERE a.connection_id = ANY(${connectionIds}::uuid[])`);
    return new Set(rows.map(({ pair }) => pair));
  }

  /** What acquisitions look at beside the connections themselves, in one statement and in the order of `viewers`. */
  async standings(tx: ReadTx, viewers: readonly LeaseViewer[]): Promise<Standing[]> {
    const rows = await tx.query<
      { place: number; places: Place[] } & (FormerLease | { [Key in keyof FormerLease]: null })
    >(sql`
      SELECT v.place::int AS place, coalesce((
               SELECT jsonb_agg(jsonb_build_object('nodeId', a.node_id, 'preference', a.preference) ORDER BY a.preference)
                 FROM vpn_connection_allowed_nodes AS a
                WHERE a.connection_id = v.connection_id AND (a.preference IS NOT NULL OR a.node_id = v.node_id)), '[]') AS places,
             f.owner_node_id AS "ownerNodeId", f.status, f.ended_at AS "endedAt"
        FROM unnest(${viewers.map(({ connectionId }) => connectionId)}::uuid[], ${viewers.map(({ nodeId }) => nodeId)}::uuid[])
             WITH ORDINALITY AS v (connection_id, node_id, place)
        LEFT JOIN LATERAL (
          SELECT l.owner_node_id, l.status, l.ended_at FROM vpn_connection_leases AS l
           WHERE l.connection_id = v.connection_id AND l.status <> 'active' ORDER BY l.fencing_token DESC LIMIT 1) AS f ON true
       ORDER BY v.place`);
    return rows.map(({ place: _, places, ...former }) => ({
      places,
      former: former.endedAt === null ? null : former,
    }));
  }

  /** Which of the nodes may hold the connection that it names, as `<connection>/<node>`. */
  async allowed(tx: ReadTx, viewers: readonly LeaseViewer[]): Promise<Set<string>> {
    const rows = await tx.query<{ pair: string }>(sql`
      SELECT a.connection_id || '/' || a.node_id AS pair
        FROM unnest(${viewers.map(({ connectionId }) => connectionId)}::uuid[], ${viewers.map(({ nodeId }) => nodeId)}::uuid[])
          AS v (connection_id, node_id)
        JOIN vpn_connection_allowed_nodes AS a ON a.connection_id = v.connection_id AND a.node_id = v.node_id`);
    return new Set(rows.map(({ pair }) => pair));
  }

  /** Everybody but this node who may hold the connection, the preferred first. */
  async others(tx: ReadTx, connectionId: string, nodeId: string): Promise<string[]> {
    const rows = await tx.query<{ nodeId: string }>(sql`
      SELECT a.node_id AS "nodeId" FROM vpn_connection_allowed_nodes AS a
       WHERE a.connection_id = ${connectionId}::uuid AND a.node_id <> ${nodeId}::uuid
       ORDER BY a.preference NULLS LAST, a.node_id`);
    return rows.map((row) => row.nodeId);
  }

  /** The preferred nodes in their order, and the node itself where it is allowed at all. */
  places(tx: ReadTx, connectionId: string, nodeId: string): Promise<Place[]> {
    return tx.query<Place>(sql`
      SELECT a.node_id AS "nodeId", a.preference FROM vpn_connection_allowed_nodes AS a
       WHERE a.connection_id = ${connectionId}::uuid AND (a.preference IS NOT NULL OR a.node_id = ${nodeId}::uuid)
       ORDER BY a.preference`);
  }

  /**
   * Connections that are held by a node that others are preferred to, for as long as their policy asks at least, and
   * that nobody has been asked to hand over as lately. In the order of their ids.
   */
  dueFailbacks(tx: ReadTx, after: string | null, limit: number): Promise<DueFailback[]> {
    const beyond = after === null ? sql`true` : sql`c.id > ${after}::uuid`;
    return tx.query<DueFailback>(sql`
      SELECT c.cluster_id AS "clusterId", c.id AS "connectionId", c.failback_after_stable_seconds AS "stableSeconds"
        FROM vpn_connections AS c
        JOIN vpn_connection_leases AS l ON l.connection_id = c.id AND l.status = 'active'
       CROSS JOIN LATERAL (SELECT fabric_now() - make_interval(secs => c.failback_after_stable_seconds) AS since) AS s
       WHERE c.failback_after_stable_seconds IS NOT NULL AND l.acquired_at <= s.since
         AND coalesce(c.reserved_until <= s.since, true) AND ${beyond}
         AND EXISTS (SELECT 1 FROM vpn_connection_allowed_nodes AS a
                       LEFT JOIN vpn_connection_allowed_nodes AS o
                         ON o.connection_id = a.connection_id AND o.node_id = l.owner_node_id
                      WHERE a.connection_id = c.id AND coalesce(a.preference < coalesce(o.preference, a.preference + 1), false))
       ORDER BY c.id LIMIT ${limit}`);
  }
}
