import { Injectable } from '@nestjs/common';
import { sql } from '../../common/database/sql.js';
import type { ReadTx, Tx } from '../../common/transaction/tx.js';
import type { LapsingKind, MassLapse } from './mass-lapse.js';

/** A mass lapse that goes on. */
export type StandingLapse = MassLapse & { clusterId: string; kind: LapsingKind };

@Injectable()
export class MassLapsesRepository {
  /** Those that go on; of these clusters, or of all. */
  list(tx: ReadTx, clusterIds: readonly string[] | 'all'): Promise<StandingLapse[]> {
    const condition = clusterIds === 'all' ? sql`true` : sql`l.cluster_id = ANY(${clusterIds}::uuid[])`;
    return tx.query<StandingLapse>(sql`
      SELECT l.cluster_id AS "clusterId", l.kind, l.since, l.lapsed, l.population FROM mass_lapses AS l
       WHERE ${condition} ORDER BY l.cluster_id, l.kind`);
  }

  /** False when it stands there already. */
  async begin(tx: Tx, clusterId: string, kind: LapsingKind, lapse: MassLapse): Promise<boolean> {
    const rows = await tx.query(sql`
      INSERT INTO mass_lapses AS l (cluster_id, kind, since, lapsed, population)
      VALUES (${clusterId}::uuid, ${kind}, ${lapse.since}, ${lapse.lapsed}, ${lapse.population})
      ON CONFLICT (cluster_id, kind) DO NOTHING RETURNING l.kind`);
    return rows.length === 1;
  }

  /** When the one began that ends hereby; null when there was none. */
  async end(tx: Tx, clusterId: string, kind: LapsingKind): Promise<Date | null> {
    const [row] = await tx.query<{ since: Date }>(sql`
      DELETE FROM mass_lapses AS l WHERE l.cluster_id = ${clusterId}::uuid AND l.kind = ${kind} RETURNING l.since`);
    return row?.since ?? null;
  }
}
