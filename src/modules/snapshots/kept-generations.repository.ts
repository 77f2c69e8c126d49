import { Injectable } from '@nestjs/common';
import { Database } from '../../common/database/database.js';
import { type Sql, sql } from '../../common/database/sql.js';
import type { ReadTx } from '../../common/transaction/tx.js';
import { FIRST_SERVED, membersOf } from './kept-generation-groups.repository.js';
import { HASH_BYTES } from './snapshot-sections.js';
import { MARK, type StoredSection, storing } from './stored-sections.sql.js';

/** A generation as it is stored; its content stands in its sections. */
export interface KeptGeneration {
  clusterId: string;
  nodeId: string;
  generation: number;
  authorityTerm: number;
  /** One behind the other. */
  sectionHashes: Buffer;
  issuedAt: Date;
  expiresAt: Date;
  /** When it was first served. */
  servedAt: Date;
}

/** Where a list of one node's generations is looked at. */
export interface GenerationRange {
  /** By first serving: inclusive, exclusive. */
  from?: string | undefined;
  to?: string | undefined;
  /** Only generations below this one. */
  below: number | null;
}

const COLUMNS = sql`g.cluster_id AS "clusterId", g.node_id AS "nodeId", g.generation, g.authority_term AS "authorityTerm",
  g.section_hashes AS "sectionHashes", g.issued_at AS "issuedAt", g.expires_at AS "expiresAt", g.served_at AS "servedAt"`;

@Injectable()
export class KeptGenerationsRepository {
  constructor(private readonly database: Database) {}

  /**
   * Stores generations of many nodes in one statement and one commit; those that are kept already stay as they are.
   * @param sections those of them that may not be stored yet
   */
  async insert(
    generations: readonly Omit<KeptGeneration, 'servedAt'>[],
    sections: readonly StoredSection[],
  ): Promise<void> {
    const column = <T>(pick: (generation: Omit<KeptGeneration, 'servedAt'>) => T) => generations.map(pick);
    await this.database.queryPrepared(sql`
      WITH ${storing(sections)}
      INSERT INTO kept_generations (cluster_id, node_id, generation, authority_term, section_hashes, issued_at, expires_at, served_at)
      SELECT u.cluster_id, u.node_id, u.generation, u.authority_term, decode(u.hashes, 'hex'), u.issued_at, u.expires_at,
             date_trunc('milliseconds', now())
        FROM unnest(${column((g) => g.clusterId)}::uuid[], ${column((g) => g.nodeId)}::uuid[],
          ${column((g) => g.generation)}::bigint[], ${column((g) => g.authorityTerm)}::bigint[],
          ${column((g) => hex(g.sectionHashes))}::text[], ${column((g) => g.issuedAt.toISOString())}::timestamptz[],
          ${column((g) => g.expiresAt.toISOString())}::timestamptz[])
          AS u (cluster_id, node_id, generation, authority_term, hashes, issued_at, expires_at)
       ORDER BY u.cluster_id, u.node_id
      ON CONFLICT DO NOTHING`);
  }

  /** The kept generations of a node, newest first, at most `limit`. */
  list(
    tx: ReadTx,
    clusterId: string,
    nodeId: string,
    { from, to, below }: GenerationRange,
    limit: number,
  ): Promise<KeptGeneration[]> {
    const condition = sql`(${below}::bigint IS NULL OR g.generation < ${below}::bigint)
      AND (${from ?? null}::timestamptz IS NULL OR g.served_at >= ${from ?? null}::timestamptz)
      AND (${to ?? null}::timestamptz IS NULL OR g.served_at < ${to ?? null}::timestamptz)`;
    return tx.query<KeptGeneration>(sql`
      WITH ${grouped(clusterId, nodeId)} ${ofNode(clusterId, nodeId, condition, DOWN, limit)}`);
  }

  async find(
    tx: ReadTx,
    clusterId: string,
    nodeId: string,
    generation: number,
  ): Promise<KeptGeneration | null> {
    return this.one(tx, clusterId, nodeId, sql`g.generation = ${generation}::bigint`, DOWN);
  }

  /** The last one that had been served at `at`. */
  async findAt(tx: ReadTx, clusterId: string, nodeId: string, at: string): Promise<KeptGeneration | null> {
    return this.one(tx, clusterId, nodeId, sql`g.served_at <= ${at}::timestamptz`, DOWN);
  }

  /** The kept one whose number is nearest; the lower of two. */
  async nearest(
    tx: ReadTx,
    clusterId: string,
    nodeId: string,
    generation: number,
  ): Promise<KeptGeneration | null> {
    const part = (condition: Sql, order: Sql) => ofNode(clusterId, nodeId, condition, order, 1);
    const [row] = await tx.query<KeptGeneration>(sql`
      WITH ${grouped(clusterId, nodeId)}
      SELECT * FROM ((${part(sql`g.generation < ${generation}::bigint`, DOWN)})
        UNION ALL (${part(sql`g.generation > ${generation}::bigint`, UP)})) AS n
       ORDER BY abs(n.generation - ${generation}::bigint), n.generation LIMIT 1`);
    return row ?? null;
  }

  /** The oldest one that is kept. */
  async first(tx: ReadTx, clusterId: string, nodeId: string): Promise<KeptGeneration | null> {
    return this.one(tx, clusterId, nodeId, sql`true`, UP);
  }

  private async one(
    tx: ReadTx,
    clusterId: string,
    nodeId: string,
    condition: Sql,
    order: Sql,
  ): Promise<KeptGeneration | null> {
    const [row] = await tx.query<KeptGeneration>(sql`
      WITH ${grouped(clusterId, nodeId)} ${ofNode(clusterId, nodeId, condition, order, 1)}`);
    return row ?? null;
  }

  /** Contents of sections, by hash in hexadecimal. */
  async sections(tx: ReadTx, clusterId: string, hashes: readonly Buffer[]): Promise<Map<string, object>> {
    const rows = await tx.query<{ hash: Buffer; content: object }>(sql`
      SELECT s.hash, s.content FROM snapshot_sections AS s
       WHERE s.cluster_id = ${clusterId}::uuid
         AND s.hash IN (SELECT decode(u.hash, 'hex') FROM unnest(${hashes.map(hex)}::text[]) AS u (hash))`);
    return new Map(rows.map(({ hash, content }) => [hex(hash), content]));
  }

  /**
   * Removes generations that nobody can ask for any more: those that had a successor at `horizon` already, and all of
   * a membership that had ended by then. Returns how many; at most `limit`.
   */
  async removeOld(horizon: Date, limit: number): Promise<number> {
    const [removed] = await this.database.query<{ rows: number }>(sql`
      WITH removed AS (
        DELETE FROM kept_generations AS g WHERE g.ctid = ANY(ARRAY(
          SELECT o.ctid FROM kept_generations AS o
           WHERE o.served_at < ${horizon}
             AND (EXISTS (SELECT 1 FROM kept_generations AS later
                           WHERE later.cluster_id = o.cluster_id AND later.node_id = o.node_id
                             AND later.generation > o.generation AND later.served_at < ${horizon})
               OR EXISTS (SELECT 1 FROM cluster_memberships AS m
                           WHERE m.cluster_id = o.cluster_id AND m.node_id = o.node_id AND m.revoked_at < ${horizon}))
           LIMIT ${limit}))
        RETURNING 1
      )
      SELECT count(*)::int AS rows FROM removed`);
    return removed?.rows ?? 0;
  }

  /** Marks the sections of those generations from before `horizon` that are still there: they are in force. */
  async markInForce(horizon: Date): Promise<void> {
    await this.database.query(sql`
      WITH used AS (
        SELECT g.cluster_id, substring(g.section_hashes FROM at FOR ${HASH_BYTES}::int) AS hash
          FROM kept_generations AS g,
               generate_series(1, length(g.section_hashes), ${HASH_BYTES}::int) AS at
         WHERE g.served_at < ${horizon}
        UNION
        SELECT m.cluster_id, substring(m.section_hashes FROM at FOR ${HASH_BYTES}::int)
          FROM (${membersOf(sql`kept_generation_groups`)}) AS m,
               generate_series(1, length(m.section_hashes), ${HASH_BYTES}::int) AS at
         WHERE m.served_at < ${horizon}
      ), due AS (
        SELECT s.cluster_id, s.hash FROM snapshot_sections AS s JOIN used USING (cluster_id, hash)
         WHERE s.last_used_at <= now() - ${MARK}
         ORDER BY s.cluster_id, s.hash FOR NO KEY UPDATE OF s
      )
      UPDATE snapshot_sections AS s SET last_used_at = now() FROM due
       WHERE s.cluster_id = due.cluster_id AND s.hash = due.hash`);
  }

  /** Removes sections that nothing has used since `before`. Returns how many; at most `limit`. */
  async removeUnused(before: Date, limit: number): Promise<number> {
    const [removed] = await this.database.query<{ rows: number }>(sql`
      WITH removed AS (
        DELETE FROM snapshot_sections AS s WHERE s.ctid = ANY(ARRAY(
          SELECT o.ctid FROM snapshot_sections AS o WHERE o.last_used_at < ${before}
           ORDER BY o.cluster_id, o.hash LIMIT ${limit} FOR UPDATE SKIP LOCKED))
          AND s.last_used_at < ${before}
        RETURNING 1
      )
      SELECT count(*)::int AS rows FROM removed`);
    return removed?.rows ?? 0;
  }
}

const DOWN = sql`DESC`;
const UP = sql`ASC`;

/** A common table expression: what groups hold of the node, which is nothing but for a moment after a change of many. */
function grouped(clusterId: string, nodeId: string): Sql {
  const groups = sql`(SELECT * FROM kept_generation_groups AS q
                       WHERE q.cluster_id = ${clusterId}::uuid AND ${nodeId}::uuid = ANY(q.node_ids))`;
  return sql`
    grouped AS MATERIALIZED (
      SELECT DISTINCT ON (generation) * FROM (${membersOf(groups)}) AS m
       WHERE m.node_id = ${nodeId}::uuid ORDER BY generation, ${FIRST_SERVED})`;
}

/**
 * Generations of the node that fulfil a condition on `g`, in the order of their numbers, from where `grouped` is at hand. Each
 * is there once, as it was first served, whether it stands in a row, in a group or in both; the rows come by their key.
 */
function ofNode(clusterId: string, nodeId: string, condition: Sql, order: Sql, limit: number): Sql {
  return sql`
    SELECT * FROM (
      (SELECT ${COLUMNS} FROM kept_generations AS g
        WHERE g.cluster_id = ${clusterId}::uuid AND g.node_id = ${nodeId}::uuid AND ${condition}
          AND NOT EXISTS (SELECT 1 FROM grouped AS o WHERE o.generation = g.generation
                           AND (o.served_at, o.issued_at, o.expires_at) < (g.served_at, g.issued_at, g.expires_at))
        ORDER BY g.generation ${order} LIMIT ${limit})
      UNION ALL
      (SELECT ${COLUMNS} FROM grouped AS g
        WHERE ${condition}
          AND NOT EXISTS (SELECT 1 FROM kept_generations AS o
                           WHERE o.cluster_id = g.cluster_id AND o.node_id = g.node_id AND o.generation = g.generation
                             AND (o.served_at, o.issued_at, o.expires_at) <= (g.served_at, g.issued_at, g.expires_at))
        ORDER BY g.generation ${order} LIMIT ${limit})) AS n
     ORDER BY n.generation ${order} LIMIT ${limit}`;
}

function hex(bytes: Buffer): string {
  return bytes.toString('hex');
}
