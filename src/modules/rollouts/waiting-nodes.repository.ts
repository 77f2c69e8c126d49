import { Injectable } from '@nestjs/common';
import { type Sql, sql } from '../../common/database/sql.js';
import type { ReadTx, Tx } from '../../common/transaction/tx.js';
import { AssignmentsRepository, type Moved } from './assignments.repository.js';
import type { Direction } from './engine/assignment-state.js';
import type { Place } from './rollout.js';

/** Some of the nodes that wait to be offered their way, wave by wave. */
export interface Stretch {
  rolloutId: string;
  direction: Direction;
  /** Only waves that are active, or have been. */
  inOpenWaves: boolean;
  /** The first of them stands here, or next behind; null: in front of all. */
  from: Place | null;
  /** At most so many. */
  size: number;
}

/** Nodes that wait to be offered their way. What a look at some of them costs does not depend on how many wait. */
@Injectable()
export class WaitingNodesRepository {
  constructor(private readonly assignments: AssignmentsRepository) {}

  /** Offers it to the first of those for whom the condition holds, of `a`. Asked of no more of them than it takes. */
  offer(tx: Tx, stretch: Stretch, where: Sql, limit: number): Promise<Moved[]> {
    return this.assignments.moveChosen(
      tx,
      sql`SELECT a.id, a.state FROM ${inOrder(stretch)} WHERE ${asked(where)} ${BY_PLACE} LIMIT ${limit}`,
      'offered',
    );
  }

  /** The first of those for whom the condition holds, likewise. */
  async nodes(tx: ReadTx, stretch: Stretch, where: Sql, limit: number): Promise<string[]> {
    const rows = await tx.query<{ nodeId: string }>(sql`
      SELECT a.node_id AS "nodeId" FROM ${inOrder(stretch)} WHERE ${asked(where)} ${BY_PLACE} LIMIT ${limit}`);
    return rows.map(({ nodeId }) => nodeId);
  }

  /** Where the last of them stands; null: there are fewer. */
  async end(tx: ReadTx, stretch: Stretch): Promise<Place | null> {
    const [row] = await tx.query<Place>(sql`
      SELECT a.wave_position AS "wavePosition", a.place FROM ${inOrder(stretch)}
       ${BY_PLACE} LIMIT 1 OFFSET ${stretch.size - 1}`);
    return row ?? null;
  }
}

/** As a table `a`, so that it need not be sorted once more. */
function inOrder({ rolloutId, direction, inOpenWaves, from, size }: Stretch): Sql {
  const wave = from?.wavePosition ?? 0;
  return sql`(
      SELECT f.*, w.position FROM rollout_waves AS w CROSS JOIN LATERAL (
        SELECT a.* FROM rollout_assignments AS a
         WHERE a.rollout_id = ${rolloutId}::uuid AND a.direction = ${direction} AND a.state = 'planned'
           AND a.wave_position = w.position AND a.place >= CASE WHEN w.position = ${wave} THEN ${from?.place ?? 0} ELSE 0 END
         ORDER BY a.place LIMIT ${size}) AS f
       WHERE w.rollout_id = ${rolloutId}::uuid AND w.position >= ${wave}
         AND (NOT ${inOpenWaves} OR w.state IN ('active', 'soaking', 'done'))
       ORDER BY w.position, f.place LIMIT ${size}) AS a`;
}

const BY_PLACE = sql`ORDER BY a.position, a.place`;

/** Of each row by itself: joined, it would be asked of everybody in the cluster. */
function asked(where: Sql): Sql {
  return sql`(SELECT ${where})`;
}
