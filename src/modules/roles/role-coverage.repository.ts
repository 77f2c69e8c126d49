import { Injectable } from '@nestjs/common';
import { type Sql, sql } from '../../common/database/sql.js';
import type { ReadTx, Tx } from '../../common/transaction/tx.js';
import { NodeFacets } from '../nodes/node-facets.js';
import { countedNodeTables, HEALTH_EXPRESSION } from '../nodes/nodes.sql.js';
import type { RoleName } from './role-catalogue.js';
import type { RoleCount, RoleShortage } from './role-coverage.js';
import { effectiveAt } from './roles.sql.js';

/** All roles, only those with a wanted minimum, or one. */
export type CountedRoles = 'all' | 'wanted' | { role: RoleName };

@Injectable()
export class RoleCoverageRepository {
  constructor(private readonly facets: NodeFacets) {}

  /** Locks the wanted minimum, which is made where it is not there. Returns it; null: nobody had said. */
  async claim(tx: Tx, clusterId: string, role: RoleName): Promise<number | null> {
    const made = await tx.query(sql`
      INSERT INTO role_minimums AS q (cluster_id, role, minimum, updated_at)
      VALUES (${clusterId}::uuid, ${role}, 0, ${tx.now}) ON CONFLICT (cluster_id, role) DO NOTHING RETURNING q.role`);
    if (made.length === 1) return null;
    // A statement of its own: the insert may have waited for the one that made it.
    const [row] = await tx.query<{ minimum: number }>(sql`
      SELECT q.minimum FROM role_minimums AS q
       WHERE q.cluster_id = ${clusterId}::uuid AND q.role = ${role} FOR UPDATE`);
    return row?.minimum ?? null;
  }

  async set(tx: Tx, clusterId: string, role: RoleName, minimum: number): Promise<void> {
    await tx.query(sql`
      UPDATE role_minimums AS q SET minimum = ${minimum}, updated_at = ${tx.now}
       WHERE q.cluster_id = ${clusterId}::uuid AND q.role = ${role}`);
  }

  /**
   * Those of these roles that are effective on fewer nodes than wanted. Their minimums are locked until the transaction
   * ends: who takes another node waits, and then counts without the ones that are taken here.
   */
  async shortages(tx: Tx, clusterId: string, roles: readonly RoleName[]): Promise<RoleShortage[]> {
    const wanted = await tx.query<{ role: RoleName; minimum: number }>(sql`
      SELECT q.role, q.minimum FROM role_minimums AS q
       WHERE q.cluster_id = ${clusterId}::uuid AND q.role = ANY(${roles}::text[]) AND q.minimum > 0
       ORDER BY q.role FOR UPDATE`);
    if (wanted.length === 0) return [];
    // A statement of its own, after the wait.
    const now = await tx.clock();
    const counts = await tx.query<RoleShortage>(sql`
      SELECT q.role, q.minimum, ${effectiveUpToMinimum(now)} AS effective FROM role_minimums AS q
       WHERE q.cluster_id = ${clusterId}::uuid AND q.role = ANY(${wanted.map(({ role }) => role)}::text[])
       ORDER BY q.role`);
    return counts.filter(({ minimum, effective }) => effective < minimum);
  }

  /** The roles that are effective on fewer nodes than wanted in these clusters, by name. */
  missing(
    tx: ReadTx,
    clusterIds: readonly string[],
  ): Promise<(Pick<RoleShortage, 'role'> & { clusterId: string })[]> {
    return tx.query(sql`
      SELECT q.cluster_id AS "clusterId", q.role FROM role_minimums AS q
       WHERE q.cluster_id = ANY(${clusterIds}::uuid[]) AND q.minimum > 0
         AND ${effectiveUpToMinimum(tx.now)} < q.minimum
       ORDER BY q.cluster_id, q.role`);
  }

  /**
   * The counts of roles in these clusters; a role that nobody has and nobody wants is left out. What `admin-ingress` needs
   * beside the assignment is not looked at.
   */
  async counts(
    tx: ReadTx,
    clusterIds: readonly string[],
    which: CountedRoles,
  ): Promise<(RoleCount & { clusterId: string })[]> {
    const inClusters = sql`r.cluster_id = ANY(${clusterIds}::uuid[])`;
    // Few may have the roles that are asked for: nobody else is judged then.
    const holders = sql`m.cluster_id = ANY(${clusterIds}::uuid[]) AND ${
      which === 'all'
        ? sql`true`
        : sql`m.node_id IN (SELECT r.node_id FROM node_role_assignments AS r
               WHERE ${inClusters} AND r.status = 'active' AND ${isCounted(which)})`
    }`;
    const join: Sql = which === 'wanted' ? sql`RIGHT JOIN` : sql`FULL JOIN`;
    return tx.query(sql`
      WITH wanted AS (
        SELECT q.cluster_id, q.role, q.minimum FROM role_minimums AS q
         WHERE q.cluster_id = ANY(${clusterIds}::uuid[]) AND q.minimum > 0
      ), judged AS MATERIALIZED (
        SELECT r.cluster_id, r.role, r.node_id, ${effectiveAt(tx.now)} AS effective,
               ${HEALTH_EXPRESSION} = 'online' AS online
          FROM ${countedNodeTables(this.facets, holders)}
          JOIN node_role_assignments AS r ON r.cluster_id = m.cluster_id AND r.node_id = m.node_id
         WHERE ${inClusters} AND r.status = 'active' AND ${isCounted(which)} AND m.membership_status <> 'revoked'
      ), held AS (
        SELECT j.cluster_id, j.role, j.node_id, bool_or(j.effective) AS effective, bool_or(j.online) AS online
          FROM judged AS j GROUP BY j.cluster_id, j.role, j.node_id
      ), counted AS (
        SELECT h.cluster_id, h.role, count(*) AS assigned, count(*) FILTER (WHERE h.effective) AS effective,
               count(*) FILTER (WHERE h.effective AND h.online) AS healthy
          FROM held AS h
         GROUP BY h.cluster_id, h.role
      )
      SELECT coalesce(c.cluster_id, w.cluster_id) AS "clusterId", coalesce(c.role, w.role) AS role,
             coalesce(w.minimum, 0) AS minimum, coalesce(c.assigned, 0) AS assigned,
             coalesce(c.effective, 0) AS effective, coalesce(c.healthy, 0) AS healthy
        FROM counted AS c ${join} wanted AS w ON w.cluster_id = c.cluster_id AND w.role = c.role
       WHERE ${typeof which === 'string' ? sql`true` : sql`coalesce(c.role, w.role) = ${which.role}`}
       ORDER BY 1, 2`);
  }
}

/** Whether the assignment `r` is of a role that is asked for; `wanted` names those that are. */
function isCounted(which: CountedRoles): Sql {
  if (which === 'all') return sql`true`;
  if (which === 'wanted')
    return sql`(r.cluster_id, r.role) IN (SELECT w.cluster_id, w.role FROM wanted AS w)`;
  return sql`r.role = ${which.role}`;
}

/** On how many nodes the role of the minimum `q` is effective; counting stops at the minimum. */
function effectiveUpToMinimum(now: Date): Sql {
  return sql`(
    SELECT count(*) FROM (
      SELECT DISTINCT r.node_id FROM node_role_assignments AS r
        JOIN cluster_memberships AS m ON m.cluster_id = r.cluster_id AND m.node_id = r.node_id
        JOIN cluster_policies AS p ON p.cluster_id = r.cluster_id
       WHERE r.cluster_id = q.cluster_id AND r.role = q.role AND ${effectiveAt(now)} LIMIT q.minimum) AS n)`;
}
