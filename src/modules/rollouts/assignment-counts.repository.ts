import { Injectable } from '@nestjs/common';
import { type Sql, sql } from '../../common/database/sql.js';
import type { ReadTx } from '../../common/transaction/tx.js';
import { AssignmentNumbers, type CountedAssignments } from './assignment-numbers.js';
import type { AssignmentState } from './engine/assignment-state.js';

/** Assignments by numbers, which triggers keep: a look costs the same whatever the size of the rollout. */
@Injectable()
export class AssignmentCountsRepository {
  async read(tx: ReadTx, rolloutId: string): Promise<AssignmentNumbers> {
    const rows = await tx.query<CountedAssignments>(sql`
      SELECT c.direction, nullif(c.wave_position, -1) AS "wavePosition", c.state, c.is_written_off AS "isWrittenOff",
             n."leadsNowhere", sum(c.nodes)::int AS nodes
        FROM rollout_counts AS c CROSS JOIN LATERAL (
          SELECT c.direction = 'back' AND c.state IN ('planned', 'offered') AND NOT EXISTS (
                 SELECT 1 FROM releases AS r
                  WHERE r.id = c.to_release_id AND r.approved_at IS NOT NULL AND r.blocked_at IS NULL) AS "leadsNowhere") AS n
       WHERE c.rollout_id = ${rolloutId}::uuid AND c.nodes > 0
       GROUP BY c.direction, c.wave_position, c.state, c.is_written_off, n."leadsNowhere"`);
    return new AssignmentNumbers(rows);
  }

  /** How many of the way forward are in each state, by rollout and wave. */
  forward(
    tx: ReadTx,
    rolloutIds: readonly string[],
  ): Promise<{ rolloutId: string; wavePosition: number | null; state: AssignmentState; nodes: number }[]> {
    return tx.query(sql`
      SELECT c.rollout_id AS "rolloutId", nullif(c.wave_position, -1) AS "wavePosition", c.state, sum(c.nodes)::int AS nodes
        FROM rollout_counts AS c
       WHERE c.rollout_id = ANY(${[...rolloutIds]}::uuid[]) AND c.direction = 'forward' AND c.nodes > 0
       GROUP BY c.rollout_id, c.wave_position, c.state`);
  }

  /** What nodes report of their way forward, by rollout; who was skipped is left out. */
  updateStates(
    tx: ReadTx,
    rolloutIds: readonly string[],
  ): Promise<{ rolloutId: string; nodeState: string; nodes: number }[]> {
    return tx.query(sql`
      SELECT c.rollout_id AS "rolloutId", c.node_state AS "nodeState", c.nodes FROM rollout_update_counts AS c
       WHERE c.rollout_id = ANY(${[...rolloutIds]}::uuid[]) AND c.nodes > 0 ORDER BY c.rollout_id, c.node_state`);
  }

  /** What finds the releases to which a rollout leads, and to which ways of it lead that have not begun. */
  releasesOf(clusterId: string, rolloutId: string): Sql {
    return sql`
      SELECT o.release_id FROM rollouts AS o WHERE o.cluster_id = ${clusterId}::uuid AND o.id = ${rolloutId}::uuid
      UNION ALL
      SELECT c.to_release_id FROM rollout_counts AS c
       WHERE c.rollout_id = ${rolloutId}::uuid AND c.state IN ('planned', 'offered', 'deferred') AND c.nodes > 0`;
  }
}
