import { Injectable } from '@nestjs/common';
import { type Sql, sql } from '../../common/database/sql.js';
import { words } from '../../common/database/words.js';
import type { ReadTx } from '../../common/transaction/tx.js';
import type { Assignment } from './assignment.js';
import { ASSIGNMENT_COLUMNS } from './assignments.sql.js';
import { UNFINISHED_STATES } from './engine/rollout-state.js';

/** What snapshots, caches and the ends of memberships ask of all rollouts of a cluster at once. */
@Injectable()
export class UpdatesRepository {
  /** Products of whose rollouts a node is part. */
  async productsOf(tx: ReadTx, clusterId: string, nodeId: string): Promise<string[]> {
    const rows = await tx.query<{ id: string }>(sql`
      SELECT DISTINCT a.product_id AS id FROM rollout_assignments AS a
       WHERE a.cluster_id = ${clusterId}::uuid AND a.node_id = ${nodeId}::uuid ORDER BY 1`);
    return rows.map(({ id }) => id);
  }

  /** Nodes that may be told of an update now. */
  async toldNodes(tx: ReadTx, clusterId: string): Promise<string[]> {
    const rows = await tx.query<{ nodeId: string }>(sql`
      SELECT DISTINCT a.node_id AS "nodeId" FROM rollout_assignments AS a
       WHERE a.cluster_id = ${clusterId}::uuid AND NOT a.is_written_off
         AND a.state IN ('offered', 'granted', 'applying', 'health', 'lost')`);
    return rows.map(({ nodeId }) => nodeId);
  }

  /** Releases that unfinished rollouts of the cluster lead to, on the way and back too. */
  async releasesUnderWay(tx: ReadTx, clusterId: string): Promise<string[]> {
    const rows = await tx.query<{ id: string }>(sql`
      WITH unfinished AS (
        SELECT r.id, r.release_id FROM rollouts AS r
         WHERE r.cluster_id = ${clusterId}::uuid AND r.state IN (${words(UNFINISHED_STATES)})
      )
      SELECT u.release_id AS id FROM unfinished AS u
      UNION
      SELECT c.to_release_id FROM unfinished AS u JOIN rollout_counts AS c ON c.rollout_id = u.id WHERE c.nodes > 0`);
    return rows.map(({ id }) => id);
  }

  /** Clusters in which an unfinished rollout leads to the release. */
  async clustersUnderWay(tx: ReadTx, releaseId: string): Promise<string[]> {
    const rows = await tx.query<{ clusterId: string }>(sql`
      SELECT DISTINCT r.cluster_id AS "clusterId" FROM rollouts AS r
       WHERE r.state IN (${words(UNFINISHED_STATES)})
         AND r.product_id = (SELECT s.product_id FROM releases AS s WHERE s.id = ${releaseId}::uuid)
         AND (r.release_id = ${releaseId}::uuid OR EXISTS (
               SELECT 1 FROM rollout_counts AS c
                WHERE c.rollout_id = r.id AND c.to_release_id = ${releaseId}::uuid AND c.nodes > 0))
       ORDER BY r.cluster_id`);
    return rows.map(({ clusterId }) => clusterId);
  }

  /** What nodes are to do now: at most one thing for each product, and what they have begun before anything else. */
  told(
    tx: ReadTx,
    clusterId: string,
    nodeIds: readonly string[] | 'all',
  ): Promise<(Assignment & { product: string })[]> {
    return tx.query(sql`
      SELECT DISTINCT ON (a.node_id, a.product_id) ${ASSIGNMENT_COLUMNS}, p.name AS product
        FROM rollout_assignments AS a JOIN products AS p ON p.id = a.product_id WHERE ${isTold(clusterId, nodeIds)}
       ORDER BY a.node_id, a.product_id, a.state <> 'offered' DESC, a.direction, a.id`);
  }

  /** What finds the releases that these are of. */
  toldReleases(clusterId: string, nodeIds: readonly string[] | 'all'): Sql {
    return sql`SELECT a.to_release_id FROM rollout_assignments AS a WHERE ${isTold(clusterId, nodeIds)}`;
  }
}

function isTold(clusterId: string, nodeIds: readonly string[] | 'all'): Sql {
  const which = nodeIds === 'all' ? sql`true` : sql`a.node_id = ANY(${nodeIds}::uuid[])`;
  return sql`a.cluster_id = ${clusterId}::uuid AND ${which} AND NOT a.is_written_off
    AND a.state IN ('offered', 'granted', 'applying', 'health', 'lost')`;
}
