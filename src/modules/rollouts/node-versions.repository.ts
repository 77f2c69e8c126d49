import { Injectable } from '@nestjs/common';
import { type Sql, sql } from '../../common/database/sql.js';
import type { ReadTx, Tx } from '../../common/transaction/tx.js';
import type { Assignment } from './assignment.js';
import { IS_LEFT_BEHIND } from './assignments.sql.js';

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

  async ofNodes(
    tx: ReadTx,
    clusterId: string,
    productId: string,
    nodeIds: readonly string[],
  ): Promise<Map<string, NodeVersion>> {
    if (nodeIds.length === 0) return new Map();
    const rows = await tx.query<NodeVersion>(sql`
      SELECT ${COLUMNS} FROM node_versions AS k
       WHERE k.cluster_id = ${clusterId}::uuid AND k.product_id = ${productId}::uuid
         AND k.node_id = ANY(${[...nodeIds]}::uuid[])`);
    return new Map(rows.map((row) => [row.nodeId, row]));
  }

  async ofProduct(tx: ReadTx, clusterId: string, productId: string): Promise<Map<string, NodeVersion>> {
    const rows = await tx.query<NodeVersion>(sql`
      SELECT ${COLUMNS}
        FROM node_versions AS k WHERE k.cluster_id = ${clusterId}::uuid AND k.product_id = ${productId}::uuid`);
    return new Map(rows.map((row) => [row.nodeId, row]));
  }

  /** The versions that nodes had before are ones that they can go back to; what is known already stays. */
  rememberFirst(tx: Tx, assignments: readonly Assignment[]): void {
    if (assignments.length === 0) return;
    tx.send(sql`
      INSERT INTO node_versions AS k (cluster_id, node_id, product_id, last_known_good, updated_at)
      SELECT n."clusterId", n."nodeId", n."productId", n."fromVersion", ${tx.now} FROM ${rowsOf(assignments)}
      ON CONFLICT (cluster_id, node_id, product_id)
      DO UPDATE SET last_known_good = coalesce(k.last_known_good, excluded.last_known_good)`);
  }

  /** The nodes run the versions to which these have led, and they are good. */
  setGood(tx: Tx, assignments: readonly Assignment[]): void {
    if (assignments.length === 0) return;
    tx.send(sql`
      INSERT INTO node_versions AS k (cluster_id, node_id, product_id, last_known_good, updated_at)
      SELECT n."clusterId", n."nodeId", n."productId", n."toVersion", ${tx.now} FROM ${rowsOf(assignments)}
      ON CONFLICT (cluster_id, node_id, product_id)
      DO UPDATE SET last_known_good = excluded.last_known_good, updated_at = excluded.updated_at`);
  }

  /** A rollout has proved its version: it is the last good one of every node that has it, and has not gone on. Of some of
   *  them, in the order of their ids. @returns the last of them; null: those were all */
  async setGoodByRollout(tx: Tx, rolloutId: string, after: string, limit: number): Promise<string | null> {
    const [last] = await tx.query<{ nodeId: string; nodes: number }>(sql`
      WITH chunk AS MATERIALIZED (
        SELECT a.cluster_id, a.node_id, a.product_id, a.rollout_id, a.to_version, a.state_changed_at FROM rollout_assignments AS a
         WHERE a.rollout_id = ${rolloutId}::uuid AND a.direction = 'forward' AND a.state = 'ok' AND a.node_id > ${after}::uuid
         ORDER BY a.node_id LIMIT ${limit}),
      noted AS (
        INSERT INTO node_versions AS k (cluster_id, node_id, product_id, last_known_good, updated_at)
        SELECT a.cluster_id, a.node_id, a.product_id, a.to_version, ${tx.now} FROM chunk AS a
         WHERE NOT ${IS_LEFT_BEHIND} ORDER BY a.node_id
        ON CONFLICT (cluster_id, node_id, product_id)
        DO UPDATE SET last_known_good = excluded.last_known_good, updated_at = excluded.updated_at)
      SELECT s.node_id AS "nodeId", count(*) OVER ()::int AS nodes FROM chunk AS s ORDER BY s.node_id DESC LIMIT 1`);
    return last?.nodes === limit ? last.nodeId : null;
  }

  fence(tx: Tx, assignments: readonly Assignment[]): void {
    if (assignments.length === 0) return;
    tx.send(sql`
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
