import { type Sql, sql } from '../../common/database/sql.js';
import type { FilterFields } from '../../common/filter/filter-fields.js';
import type { NodeFacets } from './node-facets.js';
import { HEALTH } from './nodes.schema.js';

/**
 * The tables of a node's view: its membership `m`, cluster `c`, policy `p`, liveness `l`, what numbers its snapshots, `g`,
 * and what others know, `x`, which is looked up where a row is shown, and again wherever it is named.
 */
export function nodeTables(facets: NodeFacets): Sql {
  return sql`cluster_memberships AS m
    JOIN clusters AS c ON c.id = m.cluster_id
    JOIN cluster_policies AS p ON p.cluster_id = m.cluster_id
    LEFT JOIN node_liveness AS l ON l.cluster_id = m.cluster_id AND l.node_id = m.node_id
    -- An outer join, though every member has its row: that way it costs nothing where nobody asks for it.
    LEFT JOIN node_generations AS g ON g.cluster_id = m.cluster_id AND g.node_id = m.node_id
    CROSS JOIN LATERAL (SELECT ${facets.roles} AS roles,
      CASE WHEN m.membership_status = 'revoked' THEN ARRAY[]::text[] ELSE ${facets.riskyStates} END AS risks) AS x`;
}

/**
 * The same where all unrevoked members are read: risks are looked for among all of them at once, and `x.risks` is NULL
 * for who has none. Roles are not there.
 * @param among a condition of the members `m` among whom risks are looked for
 */
export function countedNodeTables(facets: NodeFacets, among: Sql): Sql {
  return sql`cluster_memberships AS m
    JOIN clusters AS c ON c.id = m.cluster_id
    JOIN cluster_policies AS p ON p.cluster_id = m.cluster_id
    LEFT JOIN node_liveness AS l ON l.cluster_id = m.cluster_id AND l.node_id = m.node_id
    LEFT JOIN ${facets.atRisk(among)} AS x ON x.cluster_id = m.cluster_id AND x.node_id = m.node_id`;
}

/** Health at this instant, whether or not any worker has looked: missed heartbeats against the cluster's policy. */
export const HEALTH_EXPRESSION = sql`CASE
  WHEN l.last_seen_at IS NULL THEN 'unknown'
  WHEN now() >= l.last_seen_at + make_interval(secs => p.heartbeat_seconds * p.offline_after_missed) THEN 'offline'
  WHEN now() >= l.last_seen_at + make_interval(secs => p.heartbeat_seconds * p.stale_after_missed) THEN 'stale'
  WHEN cardinality(x.risks) > 0 THEN 'degraded'
  ELSE 'online' END`;

export const NODE_COLUMNS = sql`m.node_id AS "nodeId", m.cluster_id AS "clusterId", m.name,
  m.membership_status AS "membershipStatus", ${HEALTH_EXPRESSION} AS health, m.group_id AS "groupId", m.labels,
  m.telemetry_enabled AS "telemetryEnabled", m.capabilities, m.facts, m.agent_version AS "agentVersion", m.os, m.arch,
  x.roles, l.last_seen_at AS "lastSeenAt", m.joined_at AS "joinedAt",
  c.generation_base + g.generation_counter AS "snapshotGeneration", l.applied_generation AS "appliedGeneration",
  x.risks AS "riskyStates"`;

/** The group `groupId` and all below it. */
export const groupSubtree = (clusterId: string, groupId: string): Sql => sql`(
  WITH RECURSIVE below AS (
    SELECT g.id FROM node_groups AS g WHERE g.cluster_id = ${clusterId}::uuid AND g.id = ${groupId}::uuid
    UNION SELECT g.id FROM node_groups AS g JOIN below AS b ON g.parent_id = b.id WHERE g.cluster_id = ${clusterId}::uuid)
  SELECT b.id FROM below AS b)`;

/** The fields of the filter grammar for nodes, the same wherever nodes are selected. */
export const NODE_FILTER_FIELDS: FilterFields = {
  name: { column: sql`m.name`, type: 'text' },
  nodeId: { column: sql`m.node_id::text`, type: 'text' },
  health: { column: HEALTH_EXPRESSION, type: 'enum', values: HEALTH },
  membershipStatus: {
    column: sql`m.membership_status`,
    type: 'enum',
    values: ['active', 'disabled', 'revoked'],
  },
  role: { column: sql`x.roles`, type: 'set' },
  capability: { column: sql`m.capabilities`, type: 'set' },
  riskyState: { column: sql`x.risks`, type: 'set' },
  labels: { column: sql`m.labels`, type: 'labels' },
  groupId: { column: sql`m.group_id::text`, type: 'text' },
  os: { column: sql`m.os`, type: 'text' },
  arch: { column: sql`m.arch`, type: 'text' },
  agentVersion: { column: sql`m.agent_version`, type: 'text' },
  joinedAt: { column: sql`m.joined_at`, type: 'instant' },
  lastSeenAt: { column: sql`l.last_seen_at`, type: 'instant' },
};
