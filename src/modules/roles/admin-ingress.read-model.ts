import { Injectable } from '@nestjs/common';
import { sql } from '../../common/database/sql.js';
import type { ReadTx } from '../../common/transaction/tx.js';
import { NodeFacets } from '../nodes/node-facets.js';
import { HEALTH_EXPRESSION, nodeTables } from '../nodes/nodes.sql.js';
import { ADMIN_INGRESS, type AdminIngressFacts } from './admin-ingress.js';
import { RoleCoverageRepository } from './role-coverage.repository.js';
import { effectiveAt } from './roles.sql.js';

/** What decides over `admin-ingress` beside its assignments. */
@Injectable()
export class AdminIngressReadModel {
  constructor(
    private readonly facets: NodeFacets,
    private readonly coverage: RoleCoverageRepository,
  ) {}

  /** The facts around these members of a cluster, by node. */
  async around(
    tx: ReadTx,
    clusterId: string,
    nodeIds: readonly string[],
  ): Promise<Map<string, AdminIngressFacts>> {
    if (nodeIds.length === 0) return new Map();
    const facts = await this.facts(
      tx,
      [clusterId],
      sql`m.cluster_id = ${clusterId}::uuid AND m.node_id = ANY(${nodeIds}::uuid[])`,
    );
    return new Map(facts.map((each) => [each.nodeId, each]));
  }

  /** The facts around every member of these clusters for whom nothing but them keeps the role from being effective. */
  candidates(tx: ReadTx, clusterIds: readonly string[]): Promise<AdminIngressFacts[]> {
    return this.facts(
      tx,
      clusterIds,
      sql`m.cluster_id = ANY(${clusterIds}::uuid[]) AND EXISTS (
        SELECT 1 FROM node_role_assignments AS r
         WHERE r.cluster_id = m.cluster_id AND r.node_id = m.node_id AND r.role = ${ADMIN_INGRESS}
           AND ${effectiveAt(tx.now)})`,
    );
  }

  private async facts(
    tx: ReadTx,
    clusterIds: readonly string[],
    which: ReturnType<typeof sql>,
  ): Promise<AdminIngressFacts[]> {
    const rows = await tx.query<Omit<AdminIngressFacts, 'rolesMissing'>>(sql`
      SELECT m.cluster_id AS "clusterId", m.node_id AS "nodeId", a.state AS "authorityState",
             EXISTS (SELECT 1 FROM cluster_keys AS k WHERE k.cluster_id = m.cluster_id
                        AND k.purpose = 'snapshot' AND k.phase = 'active') AS "isSigning",
             c.generation_base + g.generation_counter AS generation,
             greatest(c.generation_changed_at, g.generation_changed_at) AS "generationChangedAt",
             l.applied_generation AS "appliedGeneration",
             p.heartbeat_seconds * p.stale_after_missed AS "patienceSeconds",
             ${this.facets.certificateEndsAt} AS "certificateEndsAt", ${HEALTH_EXPRESSION} AS health
        FROM ${nodeTables(this.facets)}
        JOIN cluster_authorities AS a ON a.cluster_id = m.cluster_id
       WHERE ${which} ORDER BY m.cluster_id, m.node_id`);
    if (rows.length === 0) return [];
    const missing = await this.rolesMissing(tx, clusterIds);
    return rows.map((row) => ({ ...row, rolesMissing: missing.get(row.clusterId) ?? [] }));
  }

  private async rolesMissing(tx: ReadTx, clusterIds: readonly string[]): Promise<Map<string, string[]>> {
    const missing = new Map<string, string[]>();
    for (const { clusterId, role } of await this.coverage.missing(tx, clusterIds)) {
      // Its own coverage follows from this: a role that waits for itself would never come.
      if (role !== ADMIN_INGRESS) missing.set(clusterId, [...(missing.get(clusterId) ?? []), role]);
    }
    return missing;
  }
}
