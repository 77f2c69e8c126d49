import { Injectable } from '@nestjs/common';
import { sql } from '../../common/database/sql.js';
import type { ReadTx } from '../../common/transaction/tx.js';
import { type AssignmentState, type Direction, REACHED_STATES } from './engine/assignment-state.js';

/** Assignments by numbers, which triggers keep: a look costs the same whatever the size of the rollout. */
@Injectable()
export class AssignmentCountsRepository {
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

  /** How many ways back are open, and how many nodes have, or may have, the version that is to go. */
  async returning(tx: ReadTx, rolloutId: string): Promise<{ openBack: number; onBadVersion: number }> {
    const [row] = await tx.query<{ openBack: number; onBadVersion: number }>(sql`
      SELECT coalesce(sum(c.nodes) FILTER (WHERE c.direction = 'back'
               AND c.state IN ('planned', 'offered', 'granted', 'applying', 'health', 'lost')), 0)::int AS "openBack",
             coalesce(sum(c.nodes) FILTER (WHERE c.direction = 'forward'
               AND c.state = ANY(${[...REACHED_STATES]}::text[])), 0)::int AS "onBadVersion"
        FROM rollout_counts AS c WHERE c.rollout_id = ${rolloutId}::uuid AND NOT c.is_written_off`);
    return row ?? { openBack: 0, onBadVersion: 0 };
  }

  /** How many are in a state. */
  async countIn(
    tx: ReadTx,
    rolloutId: string,
    direction: Direction,
    state: AssignmentState,
  ): Promise<number> {
    const [row] = await tx.query<{ nodes: number }>(sql`
      SELECT coalesce(sum(c.nodes), 0)::int AS nodes FROM rollout_counts AS c
       WHERE c.rollout_id = ${rolloutId}::uuid AND c.direction = ${direction} AND c.state = ${state}`);
    return row?.nodes ?? 0;
  }

  /** How many have not begun their way forward. */
  async waiting(tx: ReadTx, rolloutId: string): Promise<number> {
    const [row] = await tx.query<{ nodes: number }>(sql`
      SELECT coalesce(sum(c.nodes), 0)::int AS nodes FROM rollout_counts AS c
       WHERE c.rollout_id = ${rolloutId}::uuid AND c.direction = 'forward' AND c.state IN ('planned', 'offered', 'deferred')`);
    return row?.nodes ?? 0;
  }

  /** Releases to which ways of the rollout lead that are still open. */
  async releases(tx: ReadTx, rolloutId: string): Promise<string[]> {
    const rows = await tx.query<{ id: string }>(sql`
      SELECT DISTINCT c.to_release_id AS id FROM rollout_counts AS c
       WHERE c.rollout_id = ${rolloutId}::uuid AND c.state IN ('planned', 'offered', 'deferred') AND c.nodes > 0`);
    return rows.map(({ id }) => id);
  }
}
