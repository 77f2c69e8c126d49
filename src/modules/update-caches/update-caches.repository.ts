import { Injectable } from '@nestjs/common';
import { type Sql, sql } from '../../common/database/sql.js';
import type { CursorValues } from '../../common/http/cursor.js';
import type { ReadTx, Tx } from '../../common/transaction/tx.js';
import type { UpdateCache } from './update-cache.js';

const COLUMNS = sql`c.cluster_id AS "clusterId", c.node_id AS "nodeId", c.url, c.held_sha256 AS held,
  c.used_bytes::float8 AS "usedBytes", c.capacity_bytes::float8 AS "capacityBytes",
  c.served_files::float8 AS "servedFiles", c.reported_at AS "reportedAt"`;

@Injectable()
export class UpdateCachesRepository {
  /**
   * Keeps apart, until `tx` ends, who changes which releases rollouts lead to (shared) and who decides of a release
   * (alone): that one looks for the clusters in which it is on its way. A lock of numbering, and the first of them.
   */
  async holdWays(tx: Tx, how: 'shared' | 'alone'): Promise<void> {
    const lock = how === 'alone' ? sql`pg_advisory_xact_lock` : sql`pg_advisory_xact_lock_shared`;
    await tx.query(sql`SELECT ${lock}(hashtextextended('releases on their way', 0))::text AS held`);
  }

  async find(tx: ReadTx, clusterId: string, nodeId: string): Promise<UpdateCache | null> {
    const [row] = await tx.query<UpdateCache>(sql`
      SELECT ${COLUMNS} FROM update_caches AS c WHERE ${ofNode(clusterId, nodeId)}`);
    return row ?? null;
  }

  async write(tx: Tx, cache: UpdateCache): Promise<void> {
    const { clusterId, nodeId, url, held, usedBytes, capacityBytes, servedFiles, reportedAt } = cache;
    await tx.query(sql`
      INSERT INTO update_caches AS c (cluster_id, node_id, url, held_sha256, used_bytes, capacity_bytes, served_files,
             reported_at)
      VALUES (${clusterId}::uuid, ${nodeId}::uuid, ${url}, ${held}::text[], ${usedBytes}::bigint,
              ${capacityBytes}::bigint, ${servedFiles}::bigint, ${reportedAt})
      ON CONFLICT (cluster_id, node_id) DO UPDATE SET url = EXCLUDED.url, held_sha256 = EXCLUDED.held_sha256,
             used_bytes = EXCLUDED.used_bytes, capacity_bytes = EXCLUDED.capacity_bytes,
             served_files = EXCLUDED.served_files, reported_at = EXCLUDED.reported_at`);
  }

  /** Where nodes of the cluster say that they serve, whatever their roles are. */
  serving(tx: ReadTx, clusterId: string): Promise<{ nodeId: string; url: string }[]> {
    return tx.query(sql`
      SELECT c.node_id AS "nodeId", c.url FROM update_caches AS c
       WHERE c.cluster_id = ${clusterId}::uuid AND c.url IS NOT NULL ORDER BY c.node_id`);
  }

  /** In the order of their node ids; one more than `limit`. */
  list(tx: ReadTx, clusterId: string, after: CursorValues | null, limit: number): Promise<UpdateCache[]> {
    const from = after === null ? sql`` : sql`AND c.node_id > ${after[0]}::uuid`;
    return tx.query<UpdateCache>(sql`
      SELECT ${COLUMNS} FROM update_caches AS c
       WHERE c.cluster_id = ${clusterId}::uuid ${from} ORDER BY c.node_id LIMIT ${limit + 1}`);
  }
}

function ofNode(clusterId: string, nodeId: string): Sql {
  return sql`c.cluster_id = ${clusterId}::uuid AND c.node_id = ${nodeId}::uuid`;
}
