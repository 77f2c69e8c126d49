import { Injectable } from '@nestjs/common';
import { join, type Sql, sql } from '../../common/database/sql.js';
import type { CursorValues } from '../../common/http/cursor.js';
import type { ReadTx, Tx } from '../../common/transaction/tx.js';
import type { Cluster, ClusterSettings } from './cluster.js';

/** Which clusters a list shows. */
export interface ClusterFilter {
  /** null: all of them. */
  ids: readonly string[] | null;
  status?: string | undefined;
  q?: string | undefined;
}

const COLUMNS = sql`c.id, c.name, c.slug, c.status, c.region, c.labels, c.metadata,
  c.created_at AS "createdAt", c.updated_at AS "updatedAt"`;

@Injectable()
export class ClustersRepository {
  async insert(tx: Tx, id: string, slug: string, settings: ClusterSettings): Promise<Cluster> {
    const { name, region, labels, metadata } = settings;
    const [row] = await tx.query<Cluster>(sql`
      INSERT INTO clusters AS c (id, name, slug, region, labels, metadata, created_at, updated_at)
      VALUES (${id}::uuid, ${name}, ${slug}, ${region}, ${JSON.stringify(labels)}::jsonb,
              ${JSON.stringify(metadata)}::jsonb, ${tx.now}, ${tx.now})
      RETURNING ${COLUMNS}`);
    if (row === undefined) throw new Error('the cluster was not written');
    return row;
  }

  async find(tx: ReadTx, id: string): Promise<Cluster | null> {
    const [row] = await tx.query<Cluster>(sql`SELECT ${COLUMNS} FROM clusters AS c WHERE c.id = ${id}::uuid`);
    return row ?? null;
  }

  /**
   * Locks the row against every other change of it. No stronger: the gate has taken `FOR KEY SHARE` for each of them,
   * so that two that went on to `FOR UPDATE` would wait for each other.
   */
  async lock(tx: Tx, id: string): Promise<Cluster | null> {
    const [row] = await tx.query<Cluster>(
      sql`SELECT ${COLUMNS} FROM clusters AS c WHERE c.id = ${id}::uuid FOR NO KEY UPDATE`,
    );
    return row ?? null;
  }

  async update(tx: Tx, id: string, { name, region, labels, metadata }: ClusterSettings): Promise<Cluster> {
    const [row] = await tx.query<Cluster>(sql`
      UPDATE clusters AS c SET name = ${name}, region = ${region}, labels = ${JSON.stringify(labels)}::jsonb,
             metadata = ${JSON.stringify(metadata)}::jsonb, updated_at = ${tx.now}
       WHERE c.id = ${id}::uuid RETURNING ${COLUMNS}`);
    if (row === undefined) throw new Error('the cluster was not updated');
    return row;
  }

  async archive(tx: Tx, id: string): Promise<void> {
    await tx.query(sql`
      UPDATE clusters AS c SET status = 'archived', archived_at = ${tx.now}, updated_at = ${tx.now}
       WHERE c.id = ${id}::uuid AND c.status = 'active'`);
  }

  /** Newest first; one more than `limit`, so that the page knows whether another follows. */
  async list(
    tx: ReadTx,
    filter: ClusterFilter,
    after: CursorValues | null,
    limit: number,
  ): Promise<Cluster[]> {
    const conditions: Sql[] = [sql`true`];
    if (filter.ids !== null) conditions.push(sql`c.id = ANY(${filter.ids}::uuid[])`);
    if (filter.status !== undefined) conditions.push(sql`c.status = ${filter.status}`);
    if (filter.q !== undefined)
      conditions.push(
        sql`(strpos(lower(c.name), lower(${filter.q})) > 0 OR strpos(c.slug, lower(${filter.q})) > 0)`,
      );
    if (after !== null)
      conditions.push(sql`(c.created_at, c.id) < (${after[0]}::timestamptz, ${after[1]}::uuid)`);
    return tx.query<Cluster>(sql`
      SELECT ${COLUMNS} FROM clusters AS c WHERE ${join(conditions, ' AND ')}
       ORDER BY c.created_at DESC, c.id DESC LIMIT ${limit + 1}`);
  }

  async findId(query: ReadTx['query'], idOrSlug: { id: string } | { slug: string }): Promise<string | null> {
    const condition = 'id' in idOrSlug ? sql`c.id = ${idOrSlug.id}::uuid` : sql`c.slug = ${idOrSlug.slug}`;
    const [row] = await query<{ id: string }>(sql`SELECT c.id FROM clusters AS c WHERE ${condition}`);
    return row?.id ?? null;
  }
}
