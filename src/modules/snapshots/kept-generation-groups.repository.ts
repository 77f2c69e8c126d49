import { Injectable } from '@nestjs/common';
import { Database } from '../../common/database/database.js';
import { empty, type Sql, sql } from '../../common/database/sql.js';
import type { GenerationGroup } from './generation-group.js';
import { type StoredSection, storing } from './stored-sections.sql.js';

/** What of several that were stored for one generation is the one that holds: the one that was served first. */
export const FIRST_SERVED = sql`served_at, issued_at, expires_at`;

/**
 * The members of groups, as rows of `kept_generations`.
 * @param groups a table expression of rows of `kept_generation_groups`
 */
export function membersOf(groups: Sql): Sql {
  return sql`
    SELECT q.cluster_id, m.node_id, m.generation, q.authority_term,
           q.shared_hash || substring(q.own_hashes FROM m.own_from + 1 FOR m.own_to - m.own_from) AS section_hashes,
           to_timestamp(m.issued_ms::float8 / 1000)::timestamptz(3) AS issued_at,
           to_timestamp(m.expires_ms::float8 / 1000)::timestamptz(3) AS expires_at, q.served_at
      FROM ${groups} AS q,
           unnest(q.node_ids, q.generations, q.issued_ms, q.expires_ms,
                  q.own_bounds[:cardinality(q.node_ids)], q.own_bounds[2:])
             AS m (node_id, generation, issued_ms, expires_ms, own_from, own_to)`;
}

@Injectable()
export class KeptGenerationGroupsRepository {
  constructor(private readonly database: Database) {}

  /**
   * Stores generations of many nodes in one row and one commit.
   * @param sections those of them that may not be stored yet
   */
  async insert(group: GenerationGroup, sections: readonly StoredSection[]): Promise<void> {
    await this.database.queryPrepared(sql`
      ${sections.length === 0 ? empty : sql`WITH ${storing(sections)}`}
      INSERT INTO kept_generation_groups
        (cluster_id, authority_term, served_at, node_ids, generations, issued_ms, expires_ms, shared_hash, own_hashes, own_bounds)
      VALUES (${group.clusterId}::uuid, ${group.authorityTerm}::bigint, date_trunc('milliseconds', now()),
              ${group.nodeIds}::uuid[], ${group.generations}::bigint[], ${group.issuedMs}::bigint[],
              ${group.expiresMs}::bigint[], ${group.sharedHash}::bytea, ${group.ownHashes}::bytea,
              ${group.ownBounds}::integer[])`);
  }

  /**
   * Takes at most `limit` groups apart that were stored at least `ageSeconds` ago, and that nobody else takes apart just
   * now. Of a generation that is there already the earlier serving stays. Returns how many groups it took.
   */
  async takeApart(ageSeconds: number, limit: number): Promise<number> {
    const [taken] = await this.database.queryPrepared<{ groups: number }>(sql`
      WITH due AS (
        SELECT q.cluster_id, q.id FROM kept_generation_groups AS q
         WHERE q.served_at <= now() - make_interval(secs => ${ageSeconds}::float8)
         ORDER BY q.cluster_id, q.id LIMIT ${limit}::int FOR UPDATE SKIP LOCKED
      ), taken AS (
        DELETE FROM kept_generation_groups AS q USING due WHERE q.cluster_id = due.cluster_id AND q.id = due.id
        RETURNING q.*
      ), kept AS (
        INSERT INTO kept_generations AS k
          (cluster_id, node_id, generation, authority_term, section_hashes, issued_at, expires_at, served_at)
        -- In the order of all who write here, so that two never wait for each other in a circle.
        SELECT DISTINCT ON (cluster_id, node_id, generation) * FROM (${membersOf(sql`taken`)}) AS m
         ORDER BY cluster_id, node_id, generation, ${FIRST_SERVED}
        ON CONFLICT (cluster_id, node_id, generation) DO UPDATE
          SET authority_term = excluded.authority_term, section_hashes = excluded.section_hashes,
              issued_at = excluded.issued_at, expires_at = excluded.expires_at, served_at = excluded.served_at
          WHERE (excluded.served_at, excluded.issued_at, excluded.expires_at) < (k.served_at, k.issued_at, k.expires_at)
      )
      SELECT count(*)::int AS groups FROM taken`);
    return taken?.groups ?? 0;
  }
}
