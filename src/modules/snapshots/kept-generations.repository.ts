import { Injectable } from '@nestjs/common';
import { Database } from '../../common/database/database.js';
import { type Sql, sql } from '../../common/database/sql.js';
import type { ReadTx } from '../../common/transaction/tx.js';
import { HASH_BYTES } from './snapshot-sections.js';

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

/** A section that may have to be stored. */
export interface StoredSection {
  clusterId: string;
  hash: Buffer;
  members: object;
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

/** A section is marked as used once a day at most: what uses it in between finds the mark there. */
const MARK = sql`interval '1 day'`;

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
      WITH section AS (
        SELECT u.cluster_id, decode(u.hash, 'hex') AS hash, u.content::jsonb AS content
          FROM unnest(${sections.map((each) => each.clusterId)}::uuid[], ${sections.map((each) => hex(each.hash))}::text[],
                      ${sections.map((each) => JSON.stringify(each.members))}::text[]) AS u (cluster_id, hash, content)
      ), stored AS (
        -- In one order, so that two such statements never wait for each other in a circle.
        INSERT INTO snapshot_sections AS s (cluster_id, hash, content, last_used_at)
        SELECT n.cluster_id, n.hash, n.content, now()
          FROM section AS n
         WHERE NOT EXISTS (SELECT 1 FROM snapshot_sections AS k
                            WHERE k.cluster_id = n.cluster_id AND k.hash = n.hash AND k.last_used_at > now() - ${MARK})
         ORDER BY n.cluster_id, n.hash
        ON CONFLICT (cluster_id, hash) DO UPDATE SET last_used_at = greatest(s.last_used_at, excluded.last_used_at)
      )
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
    return tx.query<KeptGeneration>(sql`
      SELECT ${COLUMNS} FROM kept_generations AS g
       WHERE ${ofNode(clusterId, nodeId)} AND (${below}::bigint IS NULL OR g.generation < ${below}::bigint)
         AND (${from ?? null}::timestamptz IS NULL OR g.served_at >= ${from ?? null}::timestamptz)
         AND (${to ?? null}::timestamptz IS NULL OR g.served_at < ${to ?? null}::timestamptz)
       ORDER BY g.generation DESC LIMIT ${limit}`);
  }

  async find(
    tx: ReadTx,
    clusterId: string,
    nodeId: string,
    generation: number,
  ): Promise<KeptGeneration | null> {
    const [row] = await tx.query<KeptGeneration>(sql`
      SELECT ${COLUMNS} FROM kept_generations AS g
       WHERE ${ofNode(clusterId, nodeId)} AND g.generation = ${generation}::bigint`);
    return row ?? null;
  }

  /** The last one that had been served at `at`. */
  async findAt(tx: ReadTx, clusterId: string, nodeId: string, at: string): Promise<KeptGeneration | null> {
    const [row] = await tx.query<KeptGeneration>(sql`
      SELECT ${COLUMNS} FROM kept_generations AS g
       WHERE ${ofNode(clusterId, nodeId)} AND g.served_at <= ${at}::timestamptz
       ORDER BY g.generation DESC LIMIT 1`);
    return row ?? null;
  }

  /** The kept one whose number is nearest; the lower of two. */
  async nearest(
    tx: ReadTx,
    clusterId: string,
    nodeId: string,
    generation: number,
  ): Promise<KeptGeneration | null> {
    const part = (condition: Sql, order: Sql) => sql`
      (SELECT ${COLUMNS} FROM kept_generations AS g
        WHERE ${ofNode(clusterId, nodeId)} AND ${condition} ORDER BY g.generation ${order} LIMIT 1)`;
    const [row] = await tx.query<KeptGeneration>(sql`
      SELECT * FROM (${part(sql`g.generation < ${generation}::bigint`, sql`DESC`)}
        UNION ALL ${part(sql`g.generation > ${generation}::bigint`, sql`ASC`)}) AS n
       ORDER BY abs(n.generation - ${generation}::bigint), n.generation LIMIT 1`);
    return row ?? null;
  }

  /** The oldest one that is kept. */
  async first(tx: ReadTx, clusterId: string, nodeId: string): Promise<KeptGeneration | null> {
    const [row] = await tx.query<KeptGeneration>(sql`
      SELECT ${COLUMNS} FROM kept_generations AS g WHERE ${ofNode(clusterId, nodeId)}
       ORDER BY g.generation LIMIT 1`);
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
        SELECT DISTINCT g.cluster_id, substring(g.section_hashes FROM at FOR ${HASH_BYTES}::int) AS hash
          FROM kept_generations AS g,
               generate_series(1, length(g.section_hashes), ${HASH_BYTES}::int) AS at
         WHERE g.served_at < ${horizon}
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

function ofNode(clusterId: string, nodeId: string): Sql {
  return sql`g.cluster_id = ${clusterId}::uuid AND g.node_id = ${nodeId}::uuid`;
}

function hex(bytes: Buffer): string {
  return bytes.toString('hex');
}
