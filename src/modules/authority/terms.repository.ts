import { Injectable } from '@nestjs/common';
import { sql } from '../../common/database/sql.js';
import type { Tx } from '../../common/transaction/tx.js';
import type { HoldCause, RaisedTerm } from './term.js';

@Injectable()
export class TermsRepository {
  /** Locks authorities, in the order of their clusters, as a transition does. @returns their clusters */
  async lock(tx: Tx, clusterIds: readonly string[] | 'all'): Promise<string[]> {
    const condition = clusterIds === 'all' ? sql`true` : sql`a.cluster_id = ANY(${clusterIds}::uuid[])`;
    const rows = await tx.query<{ clusterId: string }>(sql`
      SELECT a.cluster_id AS "clusterId" FROM cluster_authorities AS a WHERE ${condition}
       ORDER BY a.cluster_id FOR UPDATE`);
    return rows.map((row) => row.clusterId);
  }

  /** Raises the terms of locked authorities by one, under a new holder. */
  raise(tx: Tx, clusterIds: readonly string[], holder: string): Promise<RaisedTerm[]> {
    return tx.query<RaisedTerm>(sql`
      WITH old AS (
        SELECT a.cluster_id, a.term, a.holder FROM cluster_authorities AS a WHERE a.cluster_id = ANY(${clusterIds}::uuid[]))
      UPDATE cluster_authorities AS a SET term = a.term + 1, holder = ${holder}
        FROM old AS o WHERE a.cluster_id = o.cluster_id
      RETURNING a.cluster_id AS "clusterId", jsonb_build_object('term', o.term, 'holder', o.holder) AS before,
                jsonb_build_object('term', a.term, 'holder', a.holder) AS after`);
  }

  /**
   * Holds takeovers for so many seconds from now, by cluster; never for less than they are held already. A hold by which
   * something may have been lost keeps its cause over a mass lapse, which lost nothing.
   */
  async hold(tx: Tx, seconds: ReadonlyMap<string, number>, cause: HoldCause): Promise<void> {
    await tx.query(sql`
      UPDATE cluster_authorities AS a
         SET takeovers_held_since = CASE WHEN a.takeovers_held_until > h.now THEN a.takeovers_held_since ELSE h.now END,
             takeovers_held_until = greatest(a.takeovers_held_until, h.now + make_interval(secs => h.seconds)),
             takeovers_held_for = CASE WHEN ${cause} = 'mass_lapse' AND a.takeovers_held_until > h.now
                                       THEN a.takeovers_held_for ELSE ${cause} END
        FROM (SELECT u.cluster_id, u.seconds, fabric_now() AS now
                FROM unnest(${[...seconds.keys()]}::uuid[], ${[...seconds.values()]}::integer[]) AS u (cluster_id, seconds)) AS h
       WHERE a.cluster_id = h.cluster_id`);
  }
}
