import { Injectable } from '@nestjs/common';
import { sql } from '../../common/database/sql.js';
import type { CursorValues } from '../../common/http/cursor.js';
import type { ReadTx, Tx } from '../../common/transaction/tx.js';
import type { AssignmentStatus } from './assignments.schema.js';
import type { Lease } from './lease.js';
import { CONNECTION, LEASE, type LeasedConnection } from './lease-rows.js';
import type { RoutePolicy } from './route-policy.js';
import type { VpnKind } from './vpn-connection.js';
import { ROUTES } from './vpn-connections.repository.js';

/** What a node last said of a connection. */
export interface Report {
  status: AssignmentStatus;
  message: string | null;
  reportedAt: Date;
}

/** A connection that allows a node, with the lease that is stored as active. */
export interface NodeConnection {
  connection: LeasedConnection;
  hasCredentialRef: boolean;
  routePolicies: RoutePolicy[];
  status: AssignmentStatus | null;
}

/** A node that a connection allows. */
export interface AllowedNode {
  nodeId: string;
  preference: number | null;
  status: AssignmentStatus | null;
  message: string | null;
  reportedAt: Date | null;
}

/** Connections that a node's roles fit: of a kind, for all organizations (null) or for one. */
export interface Fit {
  kind: VpnKind;
  organizationId: string | null;
}

@Injectable()
export class AssignmentsRepository {
  /** The connections that allow the node and that one of its roles fits, newest first; one more than `limit`. */
  async ofNode(
    tx: ReadTx,
    clusterId: string,
    nodeId: string,
    fits: readonly Fit[],
    page: { after: CursorValues | null; limit: number },
  ): Promise<NodeConnection[]> {
    const beyond = page.after === null ? sql`true` : sql`c.id < ${page.after[0]}::uuid`;
    const rows = await tx.query<LeasedConnection & Omit<NodeConnection, 'connection'>>(sql`
      SELECT ${CONNECTION}, c.credential_ref IS NOT NULL AS "hasCredentialRef", ${ROUTES} AS "routePolicies", s.status
        FROM vpn_connection_allowed_nodes AS a
        JOIN vpn_connections AS c ON c.id = a.connection_id
        LEFT JOIN vpn_assignment_statuses AS s ON s.connection_id = a.connection_id AND s.node_id = a.node_id
       WHERE a.cluster_id = ${clusterId}::uuid AND a.node_id = ${nodeId}::uuid AND c.deleted_at IS NULL AND ${beyond}
         AND EXISTS (SELECT 1 FROM unnest(${fits.map(({ kind }) => kind)}::text[],
                                          ${fits.map(({ organizationId }) => organizationId)}::uuid[]) AS f (kind, organization_id)
                      WHERE f.kind = c.kind AND (f.organization_id IS NULL OR f.organization_id = c.organization_id))
       ORDER BY c.id DESC LIMIT ${page.limit + 1}`);
    return rows.map(({ hasCredentialRef, routePolicies, status, ...connection }) => ({
      connection,
      hasCredentialRef,
      routePolicies,
      status,
    }));
  }

  /** The leases of these connections that are stored as active. */
  leases(tx: ReadTx, connectionIds: readonly string[]): Promise<Lease[]> {
    return tx.query<Lease>(sql`
      SELECT ${LEASE} FROM vpn_connection_leases AS l
       WHERE l.connection_id = ANY(${connectionIds}::uuid[]) AND l.status = 'active'`);
  }

  /** The nodes that the connection allows, in the order of their ids; one more than `limit`. */
  ofConnection(
    tx: ReadTx,
    connectionId: string,
    { after, limit }: { after: CursorValues | null; limit: number },
  ): Promise<AllowedNode[]> {
    const beyond = after === null ? sql`true` : sql`a.node_id > ${after[0]}::uuid`;
    return tx.query<AllowedNode>(sql`
      SELECT a.node_id AS "nodeId", a.preference, s.status, s.message, s.reported_at AS "reportedAt"
        FROM vpn_connection_allowed_nodes AS a
        LEFT JOIN vpn_assignment_statuses AS s ON s.connection_id = a.connection_id AND s.node_id = a.node_id
       WHERE a.connection_id = ${connectionId}::uuid AND ${beyond} ORDER BY a.node_id LIMIT ${limit + 1}`);
  }

  /** What the node said last, with the connection's name; null when the connection does not allow it. */
  async lastReport(
    tx: ReadTx,
    clusterId: string,
    connectionId: string,
    nodeId: string,
  ): Promise<{ name: string; organizationId: string | null; status: AssignmentStatus | null } | null> {
    const [row] = await tx.query<{
      name: string;
      organizationId: string | null;
      status: AssignmentStatus | null;
    }>(sql`
      SELECT c.name, c.organization_id AS "organizationId", s.status
        FROM vpn_connections AS c
        JOIN vpn_connection_allowed_nodes AS a ON a.connection_id = c.id AND a.node_id = ${nodeId}::uuid
        LEFT JOIN vpn_assignment_statuses AS s ON s.connection_id = c.id AND s.node_id = a.node_id
       WHERE c.cluster_id = ${clusterId}::uuid AND c.id = ${connectionId}::uuid AND c.deleted_at IS NULL`);
    return row ?? null;
  }

  async report(
    tx: Tx,
    { clusterId, connectionId, nodeId }: { clusterId: string; connectionId: string; nodeId: string },
    { status, message, reportedAt }: Report,
  ): Promise<void> {
    await tx.query(sql`
      INSERT INTO vpn_assignment_statuses (cluster_id, connection_id, node_id, status, message, reported_at)
      VALUES (${clusterId}::uuid, ${connectionId}::uuid, ${nodeId}::uuid, ${status}, ${message}, ${reportedAt})
      ON CONFLICT (connection_id, node_id) DO UPDATE
         SET status = excluded.status, message = excluded.message, reported_at = excluded.reported_at`);
  }
}
