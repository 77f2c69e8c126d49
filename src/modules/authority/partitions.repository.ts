import { Injectable } from '@nestjs/common';
import { sql } from '../../common/database/sql.js';
import type { ReadTx, Tx } from '../../common/transaction/tx.js';
import type { KnownPartition, PartitionFinding, PartitionSide } from './partition.js';

@Injectable()
export class PartitionsRepository {
  /** Those that are open or whose evidence lasts; of these clusters, or of all. */
  async known(
    tx: ReadTx,
    clusterIds: readonly string[] | 'all',
  ): Promise<(KnownPartition & { clusterId: string })[]> {
    const condition = clusterIds === 'all' ? sql`true` : sql`q.cluster_id = ANY(${clusterIds}::uuid[])`;
    return tx.query(sql`
      SELECT q.id, q.cluster_id AS "clusterId", q.kind, q.subject, q.since, q.cleared_at AS "clearedAt",
             q.resolved_at AS "resolvedAt"
        FROM cluster_partitions AS q
       WHERE ${condition} AND (q.cleared_at IS NULL OR q.resolved_at IS NULL) ORDER BY q.since, q.id`);
  }

  async open(
    tx: Tx,
    clusterId: string,
    { kind, subject, evidence }: PartitionFinding,
    sides: readonly PartitionSide[],
  ): Promise<void> {
    await tx.query(sql`
      INSERT INTO cluster_partitions (id, cluster_id, kind, subject, since, sides, evidence)
      VALUES (${tx.newId()}::uuid, ${clusterId}::uuid, ${kind}, ${subject}, ${tx.now},
              ${JSON.stringify(sides)}::jsonb, ${JSON.stringify(evidence)}::jsonb)`);
  }

  /** Says of partitions that their evidence is gone, or is back. */
  async clear(tx: Tx, ids: readonly string[], isGone: boolean): Promise<void> {
    await tx.query(sql`
      UPDATE cluster_partitions AS q SET cleared_at = CASE WHEN ${isGone}::boolean THEN ${tx.now}::timestamptz END
       WHERE q.id = ANY(${ids}::uuid[])`);
  }

  /** Closes all that are open in the cluster: an operator has decided. */
  async resolve(tx: Tx, clusterId: string): Promise<void> {
    await tx.query(sql`
      UPDATE cluster_partitions AS q SET resolved_at = ${tx.now}
       WHERE q.cluster_id = ${clusterId}::uuid AND q.resolved_at IS NULL`);
  }
}
