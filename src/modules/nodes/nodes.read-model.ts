import { Injectable } from '@nestjs/common';
import { join, type Sql, sql } from '../../common/database/sql.js';
import { notFound } from '../../common/errors/domain-error.js';
import { compileFilter } from '../../common/filter/compile-filter.js';
import { parseFilter } from '../../common/filter/parse-filter.js';
import type { CursorValues } from '../../common/http/cursor.js';
import type { ReadTx } from '../../common/transaction/tx.js';
import { NodeFacets } from './node-facets.js';
import { type NodeRow, nodeView } from './node-view.js';
import type { Health, NodeView } from './nodes.schema.js';
import {
  groupSubtree,
  HEALTH_EXPRESSION,
  NODE_COLUMNS,
  NODE_FILTER_FIELDS,
  nodeTables,
} from './nodes.sql.js';

/** Which nodes of a cluster a list shows. */
export interface NodeSelection {
  health?: string | undefined;
  membershipStatus?: string | undefined;
  role?: string | undefined;
  groupId?: string | undefined;
  label?: string | undefined;
  q?: string | undefined;
  filter?: string | undefined;
}

/** What screens and modules above ask of nodes. */
@Injectable()
export class NodesReadModel {
  constructor(private readonly facets: NodeFacets) {}

  /** @throws not_found */
  async get(tx: ReadTx, clusterId: string, nodeId: string): Promise<NodeView> {
    const [row] = await tx.query<NodeRow>(sql`
      SELECT ${NODE_COLUMNS} FROM ${nodeTables(this.facets)}
       WHERE m.cluster_id = ${clusterId}::uuid AND m.node_id = ${nodeId}::uuid`);
    if (row === undefined) throw notFound('not_found', 'The cluster has no such node.');
    return nodeView(row);
  }

  /** Newest members first; one more than `limit`. @throws malformed `invalid_filter` */
  list(
    tx: ReadTx,
    clusterId: string,
    selection: NodeSelection,
    after: CursorValues | null,
    limit: number,
  ): Promise<NodeRow[]> {
    const conditions = [sql`m.cluster_id = ${clusterId}::uuid`, ...selectionConditions(clusterId, selection)];
    if (after !== null)
      conditions.push(sql`(m.joined_at, m.node_id) < (${after[0]}::timestamptz, ${after[1]}::uuid)`);
    return tx.query<NodeRow>(sql`
      SELECT ${NODE_COLUMNS} FROM ${nodeTables(this.facets)} WHERE ${join(conditions, ' AND ')}
       ORDER BY m.joined_at DESC, m.node_id DESC LIMIT ${limit + 1}`);
  }

  /** How these members fare, by node id, and since when, where that has been written down. */
  async wellBeing(
    tx: ReadTx,
    clusterId: string,
    nodeIds: readonly string[],
  ): Promise<Map<string, { health: Health; since: Date | null }>> {
    const rows = await tx.query<{ nodeId: string; health: Health; since: Date | null }>(sql`
      SELECT m.node_id AS "nodeId", ${HEALTH_EXPRESSION} AS health,
             (SELECT r.since FROM node_health_records AS r
               WHERE r.cluster_id = m.cluster_id AND r.node_id = m.node_id AND r.health = ${HEALTH_EXPRESSION}) AS since
        FROM ${nodeTables(this.facets)}
       WHERE m.cluster_id = ${clusterId}::uuid AND m.node_id = ANY(${nodeIds}::uuid[])`);
    return new Map(rows.map(({ nodeId, health, since }) => [nodeId, { health, since }]));
  }
}

function selectionConditions(clusterId: string, selection: NodeSelection): Sql[] {
  const { health, membershipStatus, role, groupId, label, q, filter } = selection;
  const conditions: Sql[] = [];
  if (health !== undefined) conditions.push(sql`${HEALTH_EXPRESSION} = ${health}`);
  if (membershipStatus !== undefined) conditions.push(sql`m.membership_status = ${membershipStatus}`);
  if (role !== undefined) conditions.push(sql`${role} = ANY(x.roles)`);
  if (groupId !== undefined) conditions.push(sql`m.group_id IN ${groupSubtree(clusterId, groupId)}`);
  if (label !== undefined) conditions.push(labelCondition(label));
  if (q !== undefined) {
    conditions.push(sql`(strpos(lower(m.name), lower(${q})) > 0 OR strpos(lower(m.facts ->> 'hostname'), lower(${q})) > 0
      OR strpos(m.node_id::text, lower(${q})) > 0)`);
  }
  if (filter !== undefined) conditions.push(sql`(${compileFilter(parseFilter(filter), NODE_FILTER_FIELDS)})`);
  return conditions;
}

function labelCondition(label: string): Sql {
  const at = label.indexOf('=');
  if (at < 0) return sql`jsonb_exists(m.labels, ${label})`;
  return sql`m.labels ->> ${label.slice(0, at)} = ${label.slice(at + 1)}`;
}
