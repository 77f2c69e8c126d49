import { Injectable } from '@nestjs/common';
import { join, type Sql, sql } from '../../common/database/sql.js';
import type { CursorValues } from '../../common/http/cursor.js';
import type { ReadTx, Tx } from '../../common/transaction/tx.js';
import type { RoleAssignment, RoleAssignmentStatus } from './role-assignment.js';
import type { RoleName } from './role-catalogue.js';

/** Which assignments a list shows. */
export interface RoleAssignmentFilter {
  nodeId?: string | undefined;
  role?: RoleName | undefined;
  organizationId?: string | undefined;
  status?: RoleAssignmentStatus | undefined;
}

const COLUMNS = sql`r.id, r.cluster_id AS "clusterId", r.node_id AS "nodeId", r.role,
  r.organization_id AS "organizationId", r.status, r.policy, r.valid_from AS "validFrom",
  r.valid_until AS "validUntil", r.assigned_at AS "assignedAt",
  jsonb_build_object('type', r.assigned_by_type, 'id', r.assigned_by_id) AS "assignedBy"`;

@Injectable()
export class RoleAssignmentsRepository {
  /** Adds assignments, all on the same terms. Unique on cluster, node, role and organization. */
  async insertAll(tx: Tx, assignments: readonly RoleAssignment[]): Promise<void> {
    const [first] = assignments;
    if (first === undefined) return;
    const { clusterId, role, organizationId, policy, validFrom, validUntil, assignedAt, assignedBy } = first;
    await tx.query(sql`
      INSERT INTO node_role_assignments (id, cluster_id, node_id, role, organization_id, policy, valid_from, valid_until,
             assigned_at, assigned_by_type, assigned_by_id, updated_at)
      SELECT n.id, ${clusterId}::uuid, n.node_id, ${role}, ${organizationId}::uuid, ${JSON.stringify(policy)}::jsonb,
             ${validFrom}::timestamptz, ${validUntil}::timestamptz, ${assignedAt}::timestamptz, ${assignedBy.type},
             ${assignedBy.id}, ${assignedAt}::timestamptz
        FROM unnest(${assignments.map(({ id }) => id)}::uuid[],
                    ${assignments.map(({ nodeId }) => nodeId)}::uuid[]) AS n (id, node_id)`);
  }

  /** The assignments of the role in this scope, disabled or not, by node. */
  async inScope(
    tx: ReadTx,
    clusterId: string,
    { role, organizationId }: Pick<RoleAssignment, 'role' | 'organizationId'>,
    nodeIds: readonly string[],
  ): Promise<Map<string, string>> {
    const rows = await tx.query<{ nodeId: string; id: string }>(sql`
      SELECT r.node_id AS "nodeId", r.id FROM node_role_assignments AS r
       WHERE r.cluster_id = ${clusterId}::uuid AND r.node_id = ANY(${nodeIds}::uuid[]) AND r.role = ${role}
         AND r.organization_id IS NOT DISTINCT FROM ${organizationId}::uuid`);
    return new Map(rows.map(({ nodeId, id }) => [nodeId, id]));
  }

  async find(tx: ReadTx, clusterId: string, id: string): Promise<RoleAssignment | null> {
    const [row] = await tx.query<RoleAssignment>(sql`
      SELECT ${COLUMNS} FROM node_role_assignments AS r WHERE r.cluster_id = ${clusterId}::uuid AND r.id = ${id}::uuid`);
    return row ?? null;
  }

  async lock(tx: Tx, clusterId: string, id: string): Promise<RoleAssignment | null> {
    const [row] = await tx.query<RoleAssignment>(sql`
      SELECT ${COLUMNS} FROM node_role_assignments AS r
       WHERE r.cluster_id = ${clusterId}::uuid AND r.id = ${id}::uuid FOR UPDATE`);
    return row ?? null;
  }

  async setStatus(tx: Tx, id: string, status: RoleAssignmentStatus): Promise<void> {
    await tx.query(sql`
      UPDATE node_role_assignments AS r SET status = ${status}, updated_at = ${tx.now} WHERE r.id = ${id}::uuid`);
  }

  async delete(tx: Tx, id: string): Promise<void> {
    await tx.query(sql`DELETE FROM node_role_assignments AS r WHERE r.id = ${id}::uuid`);
  }

  /** Newest first; one more than `limit`, so that the page knows whether another follows. */
  async list(
    tx: ReadTx,
    clusterId: string,
    filter: RoleAssignmentFilter,
    after: CursorValues | null,
    limit: number,
  ): Promise<RoleAssignment[]> {
    const { nodeId, role, organizationId, status } = filter;
    const conditions: Sql[] = [sql`r.cluster_id = ${clusterId}::uuid`];
    if (nodeId !== undefined) conditions.push(sql`r.node_id = ${nodeId}::uuid`);
    if (role !== undefined) conditions.push(sql`r.role = ${role}`);
    if (organizationId !== undefined) conditions.push(sql`r.organization_id = ${organizationId}::uuid`);
    if (status !== undefined) conditions.push(sql`r.status = ${status}`);
    if (after !== null)
      conditions.push(sql`(r.assigned_at, r.id) < (${after[0]}::timestamptz, ${after[1]}::uuid)`);
    return tx.query<RoleAssignment>(sql`
      SELECT ${COLUMNS} FROM node_role_assignments AS r WHERE ${join(conditions, ' AND ')}
       ORDER BY r.assigned_at DESC, r.id DESC LIMIT ${limit + 1}`);
  }

  /** Nodes to which the role is assigned, disabled or not. */
  async nodesWith(tx: ReadTx, clusterId: string, role: RoleName): Promise<string[]> {
    const rows = await tx.query<{ nodeId: string }>(sql`
      SELECT DISTINCT r.node_id AS "nodeId" FROM node_role_assignments AS r
       WHERE r.cluster_id = ${clusterId}::uuid AND r.role = ${role} ORDER BY r.node_id`);
    return rows.map(({ nodeId }) => nodeId);
  }

  /** All assignments of these nodes, oldest first within a node. */
  async forNodes(
    tx: ReadTx,
    clusterId: string,
    nodeIds: readonly string[] | 'all',
  ): Promise<RoleAssignment[]> {
    const which = nodeIds === 'all' ? sql`true` : sql`r.node_id = ANY(${nodeIds}::uuid[])`;
    return tx.query<RoleAssignment>(sql`
      SELECT ${COLUMNS} FROM node_role_assignments AS r WHERE r.cluster_id = ${clusterId}::uuid AND ${which}
       ORDER BY r.node_id, r.assigned_at, r.id`);
  }
}
