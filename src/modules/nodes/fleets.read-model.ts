import { Injectable } from '@nestjs/common';
import { type Sql, sql } from '../../common/database/sql.js';
import type { CursorValues } from '../../common/http/cursor.js';
import type { ReadTx } from '../../common/transaction/tx.js';
import { NodeFacets } from './node-facets.js';
import type { Health } from './nodes.schema.js';
import { countedNodeTables, HEALTH_EXPRESSION, nodeTables } from './nodes.sql.js';

/** The unrevoked members of one cluster, counted. */
export interface Fleet {
  members: { active: number; disabled: number };
  health: Record<Health, number>;
  /** How many members are in each kind of risky state, by kind. */
  risks: Record<string, number>;
  /** Of active members that report: what they say of themselves, added up. */
  capacity: { nodes: number; cpuCount: number; memoryBytes: number; memoryUsedBytes: number };
}

/** A risky state of one member. */
export interface RiskyMember {
  nodeId: string;
  name: string;
  kind: string;
  /** null where it follows from other facts and nobody wrote its beginning down. */
  since: Date | null;
}

const NOTHING: Fleet = {
  members: { active: 0, disabled: 0 },
  health: { online: 0, degraded: 0, stale: 0, offline: 0, unknown: 0 },
  risks: {},
  capacity: { nodes: 0, cpuCount: 0, memoryBytes: 0, memoryUsedBytes: 0 },
};

/** Most that an integer of the API holds; what agents report may be anything. */
const MOST = sql`9007199254740991`;

/** A fact that should be a number, and is what the agent says. */
const fact = (name: string): Sql => sql`CASE WHEN jsonb_typeof(m.facts -> ${name}) = 'number'
  THEN trunc(least(greatest((m.facts ->> ${name})::numeric, 0), ${MOST})) END`;

const total = (column: Sql): Sql =>
  sql`least(coalesce(sum(${column}) FILTER (WHERE b.reports), 0), ${MOST})::bigint`;

/** Members of clusters counted and listed for screens, each cluster at one instant and all of them in one statement. */
@Injectable()
export class FleetsReadModel {
  constructor(private readonly facets: NodeFacets) {}

  /** The fleets of these clusters, by cluster id; every one of them is in the map. */
  async byCluster(tx: ReadTx, clusterIds: readonly string[]): Promise<Map<string, Fleet>> {
    const among = sql`m.cluster_id = ANY(${clusterIds}::uuid[])`;
    const rows = await tx.query<Fleet & { clusterId: string }>(sql`
      WITH member AS MATERIALIZED (
        SELECT m.cluster_id, m.membership_status, ${HEALTH_EXPRESSION} AS health, x.risks,
               ${fact('cpuCount')} AS cpu_count, coalesce(l.memory_total_bytes, ${fact('memoryBytes')}) AS memory,
               l.memory_used_bytes AS memory_used
          FROM ${countedNodeTables(this.facets, among)}
         WHERE ${among} AND m.membership_status <> 'revoked'
      ), health AS (
        SELECT h.cluster_id, jsonb_object_agg(h.health, h.count) AS counts
          FROM (SELECT b.cluster_id, b.health, count(*) AS count FROM member AS b GROUP BY 1, 2) AS h GROUP BY 1
      ), risk AS (
        SELECT r.cluster_id, jsonb_object_agg(r.kind, r.count) AS counts
          FROM (SELECT b.cluster_id, k.kind, count(*) AS count
                  FROM member AS b CROSS JOIN LATERAL (SELECT DISTINCT unnest(b.risks) AS kind) AS k GROUP BY 1, 2) AS r
         GROUP BY 1
      ), sums AS (
        SELECT b.cluster_id, count(*) FILTER (WHERE b.membership_status = 'active') AS active,
               count(*) FILTER (WHERE b.membership_status = 'disabled') AS disabled,
               count(*) FILTER (WHERE b.reports) AS nodes, ${total(sql`b.cpu_count`)} AS cpu_count,
               ${total(sql`b.memory`)} AS memory, ${total(sql`b.memory_used`)} AS memory_used
          FROM (SELECT e.*, e.membership_status = 'active' AND e.health IN ('online', 'degraded') AS reports
                  FROM member AS e) AS b GROUP BY 1
      )
      SELECT s.cluster_id AS "clusterId", jsonb_build_object('active', s.active, 'disabled', s.disabled) AS members,
             h.counts AS health, coalesce(r.counts, '{}') AS risks,
             jsonb_build_object('nodes', s.nodes, 'cpuCount', s.cpu_count, 'memoryBytes', s.memory,
                                'memoryUsedBytes', s.memory_used) AS capacity
        FROM sums AS s JOIN health AS h ON h.cluster_id = s.cluster_id
        LEFT JOIN risk AS r ON r.cluster_id = s.cluster_id`);
    const fleets = new Map<string, Fleet>(clusterIds.map((id) => [id, NOTHING]));
    for (const { clusterId, health, ...fleet } of rows)
      fleets.set(clusterId, { ...fleet, health: { ...NOTHING.health, ...health } });
    return fleets;
  }

  /** Risky states of the cluster's members by node id and kind; one more than `limit`. */
  riskyMembers(
    tx: ReadTx,
    clusterId: string,
    kind: string | undefined,
    after: CursorValues | null,
    limit: number,
  ): Promise<RiskyMember[]> {
    const behind = after === null ? sql`true` : sql`(m.node_id, k.kind) > (${after[0]}::uuid, ${after[1]})`;
    // The first condition alone can be looked up by the index: members before the page are not judged again.
    const from = after === null ? sql`true` : sql`m.node_id >= ${after[0]}::uuid`;
    return tx.query<RiskyMember>(sql`
      SELECT m.node_id AS "nodeId", m.name, k.kind,
             (SELECT s.since FROM node_risky_states AS s
               WHERE s.cluster_id = m.cluster_id AND s.node_id = m.node_id AND s.kind = k.kind
                 AND s.acknowledged_at IS NULL) AS since
        FROM ${nodeTables(this.facets)}
        CROSS JOIN LATERAL (SELECT DISTINCT unnest(x.risks) AS kind) AS k
       WHERE m.cluster_id = ${clusterId}::uuid AND m.membership_status <> 'revoked' AND ${from} AND ${behind}
         AND ${kind === undefined ? sql`true` : sql`k.kind = ${kind}`}
       ORDER BY m.node_id, k.kind LIMIT ${limit + 1}`);
  }
}
