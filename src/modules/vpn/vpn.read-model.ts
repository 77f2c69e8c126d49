import { Injectable } from '@nestjs/common';
import { FABRIC_NOW } from '../../common/database/fabric-now.js';
import { type Sql, sql } from '../../common/database/sql.js';
import type { ReadTx } from '../../common/transaction/tx.js';
import type { RoleGrant } from '../roles/role-assignment.js';
import { fittingGrants } from './eligibility.js';
import type { RoutePolicy } from './route-policy.js';
import type { VpnDesiredState, VpnKind } from './vpn-connection.js';
import { ROUTES } from './vpn-connections.repository.js';

/** A connection as nodes that may hold it know it: nothing of its lease, and nothing that depends on the clock. */
export interface VpnAssignmentConfig {
  connectionId: string;
  name: string;
  kind: VpnKind;
  desiredState: VpnDesiredState;
  hasCredentialRef: boolean;
  leaseTtlSeconds: number;
  routePolicies: RoutePolicy[];
}

/** A connection that allows a node; whether the node has a role for it is another question. */
export type AllowedConnection = VpnAssignmentConfig & { organizationId: string | null };

/** The connections of a cluster at a glance. */
export interface LeaseCounts {
  active: number;
  /** Enabled, and held by nobody. */
  free: number;
  disabled: number;
}

/** What other modules ask about connections and leases. */
@Injectable()
export class VpnReadModel {
  /** The connections that allow these nodes, by node id, in the order of their ids; without any, a node is not in the
   *  map. Of them a node needs to know those that {@link assignmentsFor} leaves. */
  async allowing(
    tx: ReadTx,
    clusterId: string,
    nodeIds: readonly string[] | 'all',
  ): Promise<Map<string, AllowedConnection[]>> {
    const which = nodeIds === 'all' ? sql`true` : sql`a.node_id = ANY(${nodeIds}::uuid[])`;
    const rows = await tx.query<AllowedConnection & { nodeIds: string[] }>(sql`
      SELECT c.id AS "connectionId", c.name, c.kind, c.desired_state AS "desiredState", c.organization_id AS "organizationId",
             c.credential_ref IS NOT NULL AS "hasCredentialRef", c.lease_ttl_seconds AS "leaseTtlSeconds",
             ${ROUTES} AS "routePolicies", n.ids AS "nodeIds"
        FROM vpn_connections AS c
        JOIN (SELECT a.connection_id, array_agg(a.node_id::text) AS ids FROM vpn_connection_allowed_nodes AS a
               WHERE a.cluster_id = ${clusterId}::uuid AND ${which} GROUP BY a.connection_id) AS n ON n.connection_id = c.id
       WHERE c.deleted_at IS NULL ORDER BY c.id`);
    const byNode = new Map<string, AllowedConnection[]>();
    for (const { nodeIds: allowed, ...connection } of rows) {
      for (const nodeId of allowed) {
        const known = byNode.get(nodeId);
        if (known === undefined) byNode.set(nodeId, [connection]);
        else known.push(connection);
      }
    }
    return byNode;
  }

  /** Which nodes these connections allow. */
  allowedNodes(
    tx: ReadTx,
    connectionIds: readonly string[],
  ): Promise<{ clusterId: string; connectionId: string; nodeId: string }[]> {
    return tx.query(sql`
      SELECT a.cluster_id AS "clusterId", a.connection_id AS "connectionId", a.node_id AS "nodeId"
        FROM vpn_connection_allowed_nodes AS a WHERE a.connection_id = ANY(${connectionIds}::uuid[])`);
  }

  /** Whether a node holds a lease now, or is about to take one that is reserved for it. */
  isBound(clusterId: string, nodeId: Sql): Sql {
    return sql`(EXISTS (
        SELECT 1 FROM vpn_connection_leases AS l
         WHERE l.cluster_id = ${clusterId}::uuid AND l.owner_node_id = ${nodeId} AND l.status = 'active' AND l.expires_at > ${FABRIC_NOW})
      OR EXISTS (
        SELECT 1 FROM vpn_connections AS c
         WHERE c.cluster_id = ${clusterId}::uuid AND c.reserved_node_id = ${nodeId} AND c.reserved_until > ${FABRIC_NOW}
           AND c.deleted_at IS NULL))`;
  }

  /** The connections of the cluster by what becomes of them. */
  async count(tx: ReadTx, clusterId: string): Promise<LeaseCounts> {
    const [row] = await tx.query<LeaseCounts>(sql`
      SELECT count(l.id)::int AS active,
             count(*) FILTER (WHERE l.id IS NULL AND c.desired_state = 'enabled')::int AS free,
             count(*) FILTER (WHERE c.desired_state = 'disabled')::int AS disabled
        FROM vpn_connections AS c
        LEFT JOIN vpn_connection_leases AS l
          ON l.connection_id = c.id AND l.status = 'active' AND l.expires_at > ${FABRIC_NOW}
       WHERE c.cluster_id = ${clusterId}::uuid AND c.deleted_at IS NULL`);
    return row ?? { active: 0, free: 0, disabled: 0 };
  }
}

/** What a node with these granted roles needs to know of the connections that allow it. */
export function assignmentsFor(
  connections: readonly AllowedConnection[],
  granted: readonly Pick<RoleGrant, 'role' | 'organizationId'>[],
): VpnAssignmentConfig[] {
  return connections
    .filter((connection) => fittingGrants(connection, granted).length > 0)
    .map(({ organizationId: _, ...config }) => config);
}
