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
  /** Adds the assignment; null when the node has this role in this scope already, disabled or not. */
  async insert(tx: Tx, assignment: RoleAssignment): Promise<RoleAssignment | null> {
    const { id, clusterId, nodeId, role, organizationId, policy, validFrom, validUntil, assignedBy } =
      assignment;
    const [row] = await tx.query<RoleAssignment>(sql`
      INSERT INTO node_role_assignments AS r (id, cluster_id, node_id, role, organization_id, policy, valid_from,
             valid_until, assigned_at, assigned_by_type, assigned_by_id, updated_at)
      VALUES (${id}::uuid, ${clusterId}::uuid, ${nodeId}::uuid, ${role}, ${organizationId}::uuid,
              ${JSON.stringify(policy)}::jsonb, ${validFrom}::timestamptz, ${validUntil}::timestamptz, ${tx.now},
              ${assignedBy.type}, ${assignedBy.id}, ${tx.now})
      ON CONFLICT (cluster_id, node_id, role, coalesce(organization_id, '00000000-0000-0000-0000-000000000000'))
      DO NOTHING RETURNING ${COLUMNS}`);
    return row ?? null;
  }

  async findInScope(
    tx: ReadTx,
    scope: Pick<RoleAssignment, 'clusterId' | 'nodeId' | 'role' | 'organizationId'>,
  ): Promise<RoleAssignment | null> {
    const { clusterId, nodeId, role, organizationId } = scope;
    const [row] = await tx.query<RoleAssignment>(sql`
      SELECT ${COLUMNS} FROM node_role_assignments AS r
       WHERE r.cluster_id = ${clusterId}::uuid AND r.node_id = ${nodeId}::uuid AND r.role = ${role}
         AND r.organization_id IS NOT DISTINCT FROM ${organizationId}::uuid`);
    return row ?? null;
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
