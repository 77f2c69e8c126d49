import { Injectable } from '@nestjs/common';
import { join, sql } from '../../common/database/sql.js';
import type { CursorValues } from '../../common/http/cursor.js';
import type { ReadTx, Tx } from '../../common/transaction/tx.js';
import { MAX_GROUP_DEPTH, type NodeGroup, type NodeGroupSettings } from './node-group.js';

const COLUMNS = sql`g.id, g.cluster_id AS "clusterId", g.name, g.parent_id AS "parentId",
  g.created_at AS "createdAt", g.updated_at AS "updatedAt"`;

@Injectable()
export class NodeGroupsRepository {
  /**
   * From here to the end of `tx` nobody else changes the tree of this cluster. One lock for the whole tree: a cycle is
   * made by two moves that each look right alone, so locking the rows that a move names does not see it.
   */
  async lockTree(tx: Tx, clusterId: string): Promise<void> {
    await tx.query(
      sql`SELECT pg_advisory_xact_lock(hashtextextended(${`node_groups:${clusterId}`}, 0))::text`,
    );
  }

  async insert(tx: Tx, clusterId: string, { name, parentId }: NodeGroupSettings): Promise<NodeGroup> {
    const [row] = await tx.query<NodeGroup>(sql`
      INSERT INTO node_groups AS g (id, cluster_id, parent_id, name, created_at, updated_at)
      VALUES (${tx.newId()}::uuid, ${clusterId}::uuid, ${parentId}::uuid, ${name}, ${tx.now}, ${tx.now})
      RETURNING ${COLUMNS}`);
    if (row === undefined) throw new Error('the group was not written');
    return row;
  }

  async find(tx: ReadTx, clusterId: string, id: string): Promise<NodeGroup | null> {
    const [row] = await tx.query<NodeGroup>(sql`
      SELECT ${COLUMNS} FROM node_groups AS g WHERE g.cluster_id = ${clusterId}::uuid AND g.id = ${id}::uuid`);
    return row ?? null;
  }

  /** The group and all above it, from the nearest to the root; empty when the cluster has no such group. */
  async ancestors(tx: ReadTx, clusterId: string, id: string): Promise<string[]> {
    const rows = await tx.query<{ id: string }>(sql`
      WITH RECURSIVE above AS (
        SELECT g.id, g.parent_id, 1 AS level FROM node_groups AS g
         WHERE g.cluster_id = ${clusterId}::uuid AND g.id = ${id}::uuid
        UNION ALL
        SELECT g.id, g.parent_id, a.level + 1 FROM node_groups AS g JOIN above AS a ON g.id = a.parent_id
         WHERE g.cluster_id = ${clusterId}::uuid AND a.level <= ${MAX_GROUP_DEPTH})
      SELECT a.id FROM above AS a ORDER BY a.level`);
    return rows.map((row) => row.id);
  }

  /** Levels of the subtree of a group, its own included. */
  async height(tx: ReadTx, clusterId: string, id: string): Promise<number> {
    const [row] = await tx.query<{ height: number }>(sql`
      WITH RECURSIVE below AS (
        SELECT g.id, 1 AS level FROM node_groups AS g WHERE g.cluster_id = ${clusterId}::uuid AND g.id = ${id}::uuid
        UNION ALL
        SELECT g.id, b.level + 1 FROM node_groups AS g JOIN below AS b ON g.parent_id = b.id
         WHERE g.cluster_id = ${clusterId}::uuid AND b.level <= ${MAX_GROUP_DEPTH})
      SELECT coalesce(max(b.level), 1)::int AS height FROM below AS b`);
    return row?.height ?? 1;
  }

  async update(tx: Tx, { id, clusterId }: NodeGroup, settings: NodeGroupSettings): Promise<NodeGroup> {
    const [row] = await tx.query<NodeGroup>(sql`
      UPDATE node_groups AS g
         SET name = ${settings.name}, parent_id = ${settings.parentId}::uuid, updated_at = ${tx.now}
       WHERE g.cluster_id = ${clusterId}::uuid AND g.id = ${id}::uuid RETURNING ${COLUMNS}`);
    if (row === undefined) throw new Error('the group was not updated');
    return row;
  }

  /** Whether a group or an unrevoked member lies in it, directly. */
  async isOccupied(tx: ReadTx, { id, clusterId }: NodeGroup): Promise<boolean> {
    const [row] = await tx.query<{ occupied: boolean }>(sql`
      SELECT EXISTS (SELECT 1 FROM node_groups AS g
                      WHERE g.cluster_id = ${clusterId}::uuid AND g.parent_id = ${id}::uuid)
          OR EXISTS (SELECT 1 FROM cluster_memberships AS m
                      WHERE m.cluster_id = ${clusterId}::uuid AND m.group_id = ${id}::uuid
                        AND m.membership_status <> 'revoked') AS occupied`);
    return row?.occupied === true;
  }

  /** Removes it; revoked members, which only history still shows, are in no group from then on. */
  async delete(tx: Tx, { id, clusterId }: NodeGroup): Promise<void> {
    await tx.query(sql`
      UPDATE cluster_memberships AS m SET group_id = NULL
       WHERE m.cluster_id = ${clusterId}::uuid AND m.group_id = ${id}::uuid AND m.membership_status = 'revoked'`);
    await tx.query(sql`
      DELETE FROM node_groups AS g WHERE g.cluster_id = ${clusterId}::uuid AND g.id = ${id}::uuid`);
  }

  /** Newest first; one more than `limit`. @param parentId undefined: all; null: those at the root */
  list(
    tx: ReadTx,
    clusterId: string,
    parentId: string | null | undefined,
    after: CursorValues | null,
    limit: number,
  ): Promise<NodeGroup[]> {
    const conditions = [sql`g.cluster_id = ${clusterId}::uuid`];
    if (parentId === null) conditions.push(sql`g.parent_id IS NULL`);
    else if (parentId !== undefined) conditions.push(sql`g.parent_id = ${parentId}::uuid`);
    if (after !== null)
      conditions.push(sql`(g.created_at, g.id) < (${after[0]}::timestamptz, ${after[1]}::uuid)`);
    return tx.query<NodeGroup>(sql`
      SELECT ${COLUMNS} FROM node_groups AS g WHERE ${join(conditions, ' AND ')}
       ORDER BY g.created_at DESC, g.id DESC LIMIT ${limit + 1}`);
  }
}
