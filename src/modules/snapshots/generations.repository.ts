import { Injectable } from '@nestjs/common';
import { sql } from '../../common/database/sql.js';
import type { ReadTx, Tx } from '../../common/transaction/tx.js';

/** A node whose content is another than the one it was last numbered for. */
export interface GrownNode {
  nodeId: string;
  contentHash: Buffer;
  /** Of the content that it was numbered for when it was looked at. */
  previousHash: Buffer | null;
}

@Injectable()
export class GenerationsRepository {
  /** The cluster's own part of its generations, and when it last grew. */
  async base(tx: ReadTx, clusterId: string): Promise<{ base: number; changedAt: Date }> {
    const [row] = await tx.query<{ base: number; changedAt: Date }>(sql`
      SELECT c.generation_base AS base, c.generation_changed_at AS "changedAt" FROM clusters AS c WHERE c.id = ${clusterId}::uuid`);
    if (row === undefined) throw new Error(`there is no cluster ${clusterId}`);
    return row;
  }

  /** Locks the memberships in node-id order, so that two transactions never wait for each other in a circle. */
  async lock(tx: Tx, clusterId: string, nodeIds: readonly string[]): Promise<void> {
    await tx.query(sql`
      SELECT m.node_id FROM cluster_memberships AS m
       WHERE m.cluster_id = ${clusterId}::uuid AND m.node_id = ANY(${nodeIds}::uuid[])
       ORDER BY m.node_id FOR NO KEY UPDATE`);
  }

  /** Grows the generation of each node by one and tells the feed. */
  async grow(tx: Tx, clusterId: string, nodes: readonly GrownNode[]): Promise<void> {
    const ids = nodes.map((node) => node.nodeId);
    const hashes = nodes.map((node) => node.contentHash.toString('hex'));
    await tx.query(sql`
      WITH grown AS (
        UPDATE cluster_memberships AS m
           SET generation_counter = m.generation_counter + 1, content_hash = decode(g.hash, 'hex'),
               generation_changed_at = date_trunc('milliseconds', clock_timestamp())
          FROM unnest(${ids}::uuid[], ${hashes}::text[]) AS g (node_id, hash)
         WHERE m.cluster_id = ${clusterId}::uuid AND m.node_id = g.node_id
        RETURNING m.node_id, m.generation_counter
      )
      INSERT INTO change_feed (kind, resource_type, resource_id, cluster_id, node_id, revision)
      SELECT 'snapshot.changed', 'node', g.node_id::text, ${clusterId}::uuid, g.node_id, g.generation_counter FROM grown AS g`);
  }

  /**
   * Remembers what the nodes are numbered for by a growth of the cluster's base. A node that another transaction has
   * numbered since it was looked at keeps that: the hash of a content without that change would hide its undoing.
   */
  async rehash(tx: Tx, clusterId: string, nodes: readonly GrownNode[]): Promise<void> {
    const ids = nodes.map((node) => node.nodeId);
    const hashes = nodes.map((node) => node.contentHash.toString('hex'));
    const previous = nodes.map((node) => node.previousHash?.toString('hex') ?? null);
    await tx.query(sql`
      UPDATE cluster_memberships AS m SET content_hash = decode(g.hash, 'hex')
        FROM unnest(${ids}::uuid[], ${hashes}::text[], ${previous}::text[]) AS g (node_id, hash, previous)
       WHERE m.cluster_id = ${clusterId}::uuid AND m.node_id = g.node_id
         AND m.content_hash IS NOT DISTINCT FROM decode(g.previous, 'hex')`);
  }

  /** Grows the generation of every node of the cluster by one row. */
  async growAll(tx: Tx, clusterId: string): Promise<void> {
    await tx.query(sql`
      WITH grown AS (
        UPDATE clusters AS c
           SET generation_base = c.generation_base + 1,
               generation_changed_at = date_trunc('milliseconds', clock_timestamp())
         WHERE c.id = ${clusterId}::uuid RETURNING c.generation_base
      )
      INSERT INTO change_feed (kind, resource_type, resource_id, cluster_id, revision)
      SELECT 'snapshot.changed', 'cluster', ${clusterId}, ${clusterId}::uuid, g.generation_base FROM grown AS g`);
  }
}
