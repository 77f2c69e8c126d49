import { Injectable } from '@nestjs/common';
import { join, type Sql, sql } from '../../common/database/sql.js';
import type { CursorValues } from '../../common/http/cursor.js';
import type { ReadTx, Tx } from '../../common/transaction/tx.js';
import type { CredentialChange, VpnConnection, VpnConnectionSettings } from './vpn-connection.js';

/** Which connections a list shows. */
export interface VpnConnectionFilter {
  kind?: string | undefined;
  desiredState?: string | undefined;
  organizationId?: string | undefined;
  nodeId?: string | undefined;
}

interface Row extends Omit<VpnConnection, 'failbackPolicy'> {
  failbackSeconds: number | null;
}

/** For each policy that lies in another one, the nearest of those. */
const OVERLAPS = sql`coalesce((
  SELECT jsonb_agg(jsonb_build_object('position', r.position, 'within', o.position) ORDER BY r.position)
    FROM vpn_connection_route_policies AS r
   CROSS JOIN LATERAL (
     SELECT w.position FROM vpn_connection_route_policies AS w
      WHERE w.connection_id = r.connection_id
        AND (w.cidr >> r.cidr OR (w.cidr = r.cidr AND w.priority < r.priority))
      ORDER BY masklen(w.cidr) DESC, w.priority LIMIT 1) AS o
   WHERE r.connection_id = c.id), '[]')`;

/** The policies of `vpn_connections AS c` as they were sent. */
export const ROUTES = sql`coalesce((
  SELECT jsonb_agg(jsonb_build_object('cidr', r.cidr::text, 'action', r.action, 'priority', r.priority) ORDER BY r.position)
    FROM vpn_connection_route_policies AS r WHERE r.connection_id = c.id), '[]')`;

const COLUMNS = sql`c.id, c.cluster_id AS "clusterId", c.organization_id AS "organizationId", c.name, c.kind,
  c.desired_state AS "desiredState", c.credential_ref IS NOT NULL AS "hasCredentialRef",
  c.lease_ttl_seconds AS "leaseTtlSeconds", c.failback_after_stable_seconds AS "failbackSeconds",
  ARRAY(SELECT a.node_id::text FROM vpn_connection_allowed_nodes AS a
         WHERE a.connection_id = c.id ORDER BY a.node_id) AS "allowedNodeIds",
  ARRAY(SELECT a.node_id::text FROM vpn_connection_allowed_nodes AS a
         WHERE a.connection_id = c.id AND a.preference IS NOT NULL ORDER BY a.preference) AS "preferredNodeIds",
  ${ROUTES} AS "routePolicies",
  ${OVERLAPS} AS "routeOverlaps", c.created_at AS "createdAt", c.updated_at AS "updatedAt"`;

@Injectable()
export class VpnConnectionsRepository {
  async insert(
    tx: Tx,
    clusterId: string,
    settings: VpnConnectionSettings,
    credentialRef: string | null,
  ): Promise<string> {
    const id = tx.newId();
    const { name, organizationId, kind, desiredState, leaseTtlSeconds, failbackPolicy } = settings;
    await tx.query(sql`
      INSERT INTO vpn_connections (id, cluster_id, organization_id, name, kind, desired_state, credential_ref,
             lease_ttl_seconds, failback_after_stable_seconds, enabled_at, created_at, updated_at)
      VALUES (${id}::uuid, ${clusterId}::uuid, ${organizationId}::uuid, ${name}, ${kind}, ${desiredState}, ${credentialRef},
              ${leaseTtlSeconds}, ${failbackSeconds(failbackPolicy)}, ${tx.now}, ${tx.now}, ${tx.now})`);
    await this.writeNodes(tx, clusterId, id, settings);
    await this.writeRoutes(tx, id, settings);
    return id;
  }

  async find(tx: ReadTx, clusterId: string, id: string): Promise<VpnConnection | null> {
    const [row] = await tx.query<Row>(sql`
      SELECT ${COLUMNS} FROM vpn_connections AS c
       WHERE c.cluster_id = ${clusterId}::uuid AND c.id = ${id}::uuid AND c.deleted_at IS NULL`);
    return row === undefined ? null : connectionOf(row);
  }

  /** Keeps everybody else from changing the settings of the connection until the transaction ends. Leases go on. */
  async beginChange(tx: Tx, id: string): Promise<void> {
    await tx.query(sql`SELECT true AS held FROM pg_advisory_xact_lock(hashtextextended(${id}, 7411230160))`);
  }

  /** Waits for whatever is done with the connection's lease, and keeps it waiting. */
  async lock(tx: Tx, id: string): Promise<void> {
    await tx.query(sql`SELECT c.id FROM vpn_connections AS c WHERE c.id = ${id}::uuid FOR NO KEY UPDATE`);
  }

  async update(
    tx: Tx,
    { id, clusterId, desiredState }: VpnConnection,
    next: VpnConnectionSettings,
    credential: CredentialChange,
  ): Promise<void> {
    const isEnabledNow = desiredState === 'disabled' && next.desiredState === 'enabled';
    await tx.query(sql`
      UPDATE vpn_connections AS c
         SET name = ${next.name}, organization_id = ${next.organizationId}::uuid, kind = ${next.kind},
             desired_state = ${next.desiredState}, lease_ttl_seconds = ${next.leaseTtlSeconds},
             failback_after_stable_seconds = ${failbackSeconds(next.failbackPolicy)},
             credential_ref = CASE WHEN ${credential !== undefined} THEN ${credential ?? null} ELSE c.credential_ref END,
             enabled_at = CASE WHEN ${isEnabledNow} THEN ${tx.now} ELSE c.enabled_at END, updated_at = ${tx.now}
       WHERE c.id = ${id}::uuid`);
    await this.writeNodes(tx, clusterId, id, next);
    await this.writeRoutes(tx, id, next);
  }

  /** Takes the connection away, with what its leases rested on. Its row stays for their history. */
  async delete(tx: Tx, { id }: VpnConnection): Promise<void> {
    await tx.query(sql`DELETE FROM vpn_connection_allowed_nodes AS a WHERE a.connection_id = ${id}::uuid`);
    await tx.query(sql`DELETE FROM vpn_connection_route_policies AS r WHERE r.connection_id = ${id}::uuid`);
    await tx.query(sql`
      UPDATE vpn_connections AS c
         SET deleted_at = ${tx.now}, updated_at = ${tx.now}, desired_state = 'disabled', credential_ref = NULL,
             reserved_node_id = NULL, reserved_until = NULL
       WHERE c.id = ${id}::uuid`);
  }

  /** Newest first; one more than `limit`, so that the page knows whether another follows. */
  async list(
    tx: ReadTx,
    clusterId: string,
    { kind, desiredState, organizationId, nodeId }: VpnConnectionFilter,
    after: CursorValues | null,
    limit: number,
  ): Promise<VpnConnection[]> {
    const conditions: Sql[] = [sql`c.cluster_id = ${clusterId}::uuid`, sql`c.deleted_at IS NULL`];
    if (kind !== undefined) conditions.push(sql`c.kind = ${kind}`);
    if (desiredState !== undefined) conditions.push(sql`c.desired_state = ${desiredState}`);
    if (organizationId !== undefined) conditions.push(sql`c.organization_id = ${organizationId}::uuid`);
    if (nodeId !== undefined)
      conditions.push(sql`EXISTS (SELECT 1 FROM vpn_connection_allowed_nodes AS a
        WHERE a.connection_id = c.id AND a.node_id = ${nodeId}::uuid)`);
    if (after !== null)
      conditions.push(sql`(c.created_at, c.id) < (${after[0]}::timestamptz, ${after[1]}::uuid)`);
    const rows = await tx.query<Row>(sql`
      SELECT ${COLUMNS} FROM vpn_connections AS c WHERE ${join(conditions, ' AND ')}
       ORDER BY c.created_at DESC, c.id DESC LIMIT ${limit + 1}`);
    return rows.map(connectionOf);
  }

  /** Only what differs is touched: a row on which a lease rests stays while the lease lives. */
  private async writeNodes(
    tx: Tx,
    clusterId: string,
    id: string,
    { allowedNodeIds, preferredNodeIds }: VpnConnectionSettings,
  ): Promise<void> {
    await tx.query(sql`
      DELETE FROM vpn_connection_allowed_nodes AS a
       WHERE a.connection_id = ${id}::uuid AND a.node_id <> ALL(${allowedNodeIds}::uuid[])`);
    await tx.query(sql`
      INSERT INTO vpn_connection_allowed_nodes (cluster_id, connection_id, node_id)
      SELECT ${clusterId}::uuid, ${id}::uuid, n.id FROM unnest(${allowedNodeIds}::uuid[]) AS n (id)
      ON CONFLICT (connection_id, node_id) DO NOTHING`);
    await tx.query(sql`
      WITH wanted AS (
        SELECT a.node_id, p.place - 1 AS preference FROM vpn_connection_allowed_nodes AS a
          LEFT JOIN unnest(${preferredNodeIds}::uuid[]) WITH ORDINALITY AS p (node_id, place) ON p.node_id = a.node_id
         WHERE a.connection_id = ${id}::uuid)
      UPDATE vpn_connection_allowed_nodes AS a SET preference = w.preference FROM wanted AS w
       WHERE a.connection_id = ${id}::uuid AND a.node_id = w.node_id AND a.preference IS DISTINCT FROM w.preference`);
  }

  private async writeRoutes(tx: Tx, id: string, { routePolicies }: VpnConnectionSettings): Promise<void> {
    await tx.query(sql`DELETE FROM vpn_connection_route_policies AS r WHERE r.connection_id = ${id}::uuid`);
    await tx.query(sql`
      INSERT INTO vpn_connection_route_policies (connection_id, position, cidr, action, priority)
      SELECT ${id}::uuid, r.place - 1, (r.policy ->> 'cidr')::cidr, r.policy ->> 'action', (r.policy ->> 'priority')::int
        FROM jsonb_array_elements(${JSON.stringify(routePolicies)}::jsonb) WITH ORDINALITY AS r (policy, place)`);
  }
}

function failbackSeconds(policy: VpnConnectionSettings['failbackPolicy']): number | null {
  return policy.mode === 'never' ? null : policy.seconds;
}

function connectionOf({ failbackSeconds: seconds, ...row }: Row): VpnConnection {
  const failbackPolicy =
    seconds === null ? ({ mode: 'never' } as const) : ({ mode: 'after_stable_seconds', seconds } as const);
  return { ...row, failbackPolicy };
}
