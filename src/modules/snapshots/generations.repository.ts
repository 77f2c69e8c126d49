import { Injectable } from '@nestjs/common';
import { type Sql, sql } from '../../common/database/sql.js';
import type { ReadTx, Tx } from '../../common/transaction/tx.js';

/** A node with the hash of its own content. */
export interface HashedNode {
  nodeId: string;
  contentHash: Buffer;
}

/** A cluster's part of the generations of its nodes. */
export interface GenerationBase {
  base: number;
  /** When it last grew. */
  changedAt: Date;
  /** The base under which what is the nodes' own may last have changed without a growth of their counters. */
  nodeContentBase: number;
}

/** The numbers of snapshots: the base of each cluster, and what each node adds to it. */
@Injectable()
export class GenerationsRepository {
  /** The cluster's own part of its generations. */
  async base(tx: ReadTx, clusterId: string): Promise<GenerationBase> {
    const [row] = await tx.query<GenerationBase>(sql`
      SELECT c.generation_base AS base, c.generation_changed_at AS "changedAt", c.node_content_base AS "nodeContentBase"
        FROM clusters AS c WHERE c.id = ${clusterId}::uuid`);
    if (row === undefined) throw new Error(`there is no cluster ${clusterId}`);
    return row;
  }

  /** Keeps everybody else from numbering these nodes until the transaction ends. In node-id order, and after
   *  {@link holdCluster}, so that two transactions never wait for each other in a circle. */
  async lock(tx: Tx, clusterId: string, nodeIds: readonly string[]): Promise<void> {
    await tx.query(sql`
      SELECT g.node_id FROM node_generations AS g
       WHERE g.cluster_id = ${clusterId}::uuid AND g.node_id = ANY(${nodeIds}::uuid[])
       ORDER BY g.node_id FOR NO KEY UPDATE`);
  }

  /**
   * Keeps changes of which it depends on others whom they concern (`alone`: those of the whole cluster are such) and
   * changes of single nodes apart until the transaction ends: neither could see the other's, and content would change
   * without a number. Nothing but the locks of numbering is taken after it, in the order of cluster and node ids, so that
   * whoever holds it waits for nobody who does not number as well.
   */
  async holdCluster(tx: Tx, clusterId: string, how: 'shared' | 'alone'): Promise<void> {
    const key = sql`hashtextextended(${`snapshots:${clusterId}`}, 0)`;
    const hold =
      how === 'alone' ? sql`pg_advisory_xact_lock(${key})` : sql`pg_advisory_xact_lock_shared(${key})`;
    await tx.query(sql`SELECT ${hold}::text AS held`);
  }

  /** Grows the generation of each node by one and tells the feed. @param base under which the hashes were taken */
  grow(tx: Tx, clusterId: string, base: number, nodes: readonly HashedNode[]): void {
    tx.send(sql`
      WITH grown AS (
        UPDATE node_generations AS n
           SET generation_counter = n.generation_counter + 1, content_hash = h.hash, content_base = ${base}::bigint,
               generation_changed_at = date_trunc('milliseconds', clock_timestamp())
          FROM ${hashesOf(nodes)}
         WHERE n.cluster_id = ${clusterId}::uuid AND n.node_id = h.node_id
        RETURNING n.node_id, n.generation_counter
      )
      INSERT INTO change_feed (kind, resource_type, resource_id, cluster_id, node_id, revision)
      SELECT 'snapshot.changed', 'node', g.node_id::text, ${clusterId}::uuid, g.node_id, g.generation_counter FROM grown AS g`);
  }

  /** Remembers the hash of content that did not change. @param base under which the hashes were taken */
  remember(tx: Tx, clusterId: string, base: number, nodes: readonly HashedNode[]): void {
    tx.send(sql`
      UPDATE node_generations AS n SET content_hash = h.hash, content_base = ${base}::bigint
        FROM ${hashesOf(nodes)} WHERE n.cluster_id = ${clusterId}::uuid AND n.node_id = h.node_id`);
  }

  /** Grows the generation of every node of the cluster by one row. @param scope whether what is the nodes' own may change */
  async growAll(tx: Tx, clusterId: string, scope: 'all' | 'shared'): Promise<void> {
    await tx.query(sql`
      WITH grown AS (
        UPDATE clusters AS c
           SET generation_base = c.generation_base + 1,
               node_content_base = CASE WHEN ${scope} = 'all' THEN c.generation_base + 1 ELSE c.node_content_base END,
               generation_changed_at = date_trunc('milliseconds', clock_timestamp())
         WHERE c.id = ${clusterId}::uuid RETURNING c.generation_base
      )
      INSERT INTO change_feed (kind, resource_type, resource_id, cluster_id, revision)
      SELECT 'snapshot.changed', 'cluster', ${clusterId}, ${clusterId}::uuid, g.generation_base FROM grown AS g`);
  }
}

function hashesOf(nodes: readonly HashedNode[]): Sql {
  const ids = nodes.map((node) => node.nodeId);
  const hashes = nodes.map((node) => node.contentHash.toString('hex'));
  return sql`(SELECT u.node_id, decode(u.hash, 'hex') AS hash
                FROM unnest(${ids}::uuid[], ${hashes}::text[]) AS u (node_id, hash)) AS h`;
}
