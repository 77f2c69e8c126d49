import { Injectable } from '@nestjs/common';
import { type Sql, sql } from '../../common/database/sql.js';
import type { ReadTx, Tx } from '../../common/transaction/tx.js';
import type { Assignment } from './assignment.js';

/** What is known of a product on a node, beyond any rollout. */
export interface NodeVersion {
  nodeId: string;
  lastKnownGood: string | null;
  epoch: number;
  isFenced: boolean;
}

const COLUMNS = sql`k.node_id AS "nodeId", k.last_known_good AS "lastKnownGood", k.epoch::float8 AS epoch,
  k.is_fenced AS "isFenced"`;

type Key = Pick<Assignment, 'clusterId' | 'productId' | 'nodeId'>;

@Injectable()
export class NodeVersionsRepository {
  async find(tx: ReadTx, { clusterId, productId, nodeId }: Key): Promise<NodeVersion | null> {
    const [row] = await tx.query<NodeVersion>(sql`
      SELECT ${COLUMNS} FROM node_versions AS k
       WHERE k.cluster_id = ${clusterId}::uuid AND k.product_id = ${productId}::uuid AND k.node_id = ${nodeId}::uuid`);
    return row ?? null;
  }

  async ofProduct(tx: ReadTx, clusterId: string, productId: string): Promise<Map<string, NodeVersion>> {
    const rows = await tx.query<NodeVersion>(sql`
      SELECT ${COLUMNS}
        FROM node_versions AS k WHERE k.cluster_id = ${clusterId}::uuid AND k.product_id = ${productId}::uuid`);
    return new Map(rows.map((row) => [row.nodeId, row]));
  }

  /** The versions that nodes had before are ones that they can go back to; what is known already stays. */
  async rememberFirst(tx: Tx, assignments: readonly Assignment[]): Promise<void> {
    if (assignments.length === 0) return;
    await tx.query(sql`
      INSERT INTO node_versions AS k (cluster_id, node_id, product_id, last_known_good, updated_at)
      SELECT n."clusterId", n."nodeId", n."productId", n."fromVersion", ${tx.now} FROM ${rowsOf(assignments)}
      ON CONFLICT (cluster_id, node_id, product_id)
      DO UPDATE SET last_known_good = coalesce(k.last_known_good, excluded.last_known_good)`);
  }

  /** The nodes run the versions to which these have led, and they are good. */
  async setGood(tx: Tx, assignments: readonly Assignment[]): Promise<void> {
    if (assignments.length === 0) return;
    await tx.query(sql`
      INSERT INTO node_versions AS k (cluster_id, node_id, product_id, last_known_good, updated_at)
      SELECT n."clusterId", n."nodeId", n."productId", n."toVersion", ${tx.now} FROM ${rowsOf(assignments)}
      ON CONFLICT (cluster_id, node_id, product_id)
      DO UPDATE SET last_known_good = excluded.last_known_good, updated_at = excluded.updated_at`);
  }

  /** A rollout has proved its version: it is the last good one of every node that has it. */
  async setGoodByRollout(tx: Tx, rolloutId: string): Promise<void> {
    await tx.query(sql`
      INSERT INTO node_versions AS k (cluster_id, node_id, product_id, last_known_good, updated_at)
      SELECT a.cluster_id, a.node_id, a.product_id, a.to_version, ${tx.now} FROM rollout_assignments AS a
       WHERE a.rollout_id = ${rolloutId}::uuid AND a.direction = 'forward' AND a.state = 'ok'
      ON CONFLICT (cluster_id, node_id, product_id)
      DO UPDATE SET last_known_good = excluded.last_known_good, updated_at = excluded.updated_at`);
  }

  async fence(tx: Tx, assignments: readonly Assignment[]): Promise<void> {
    if (assignments.length === 0) return;
    await tx.query(sql`
      INSERT INTO node_versions AS k (cluster_id, node_id, product_id, is_fenced, updated_at)
      SELECT n."clusterId", n."nodeId", n."productId", true, ${tx.now} FROM ${rowsOf(assignments)}
      ON CONFLICT (cluster_id, node_id, product_id) DO UPDATE SET is_fenced = true, updated_at = excluded.updated_at`);
  }

  /** What the node reports of anything that it was told before is refused from now on. Returns the epoch. */
  async nextEpoch(tx: Tx, key: Key, epoch: number): Promise<number> {
    const [row] = await tx.query<{ epoch: number }>(sql`
      INSERT INTO node_versions AS k (cluster_id, node_id, product_id, epoch, is_fenced, updated_at)
      VALUES (${key.clusterId}::uuid, ${key.nodeId}::uuid, ${key.productId}::uuid, ${epoch + 1}, false, ${tx.now})
      ON CONFLICT (cluster_id, node_id, product_id)
      DO UPDATE SET epoch = greatest(k.epoch, ${epoch}) + 1, is_fenced = false, updated_at = excluded.updated_at
      RETURNING k.epoch::float8 AS epoch`);
    return row?.epoch ?? epoch + 1;
  }
}

/** What is known of them now, as a table; in node-id order, so that two transactions never wait in a circle. */
function rowsOf(assignments: readonly Assignment[]): Sql {
  return sql`(SELECT * FROM jsonb_to_recordset(${JSON.stringify(assignments)}::jsonb) AS r ("clusterId" uuid, "nodeId" uuid,
                "productId" uuid, "fromVersion" text, "toVersion" text) ORDER BY r."nodeId") AS n`;
}
