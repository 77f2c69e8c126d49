import { type Sql, sql } from '../../common/database/sql.js';

/** A section that may have to be stored. */
export interface StoredSection {
  clusterId: string;
  hash: Buffer;
  members: object;
}

/** A section is marked as used once a day at most: what uses it in between finds the mark there. */
export const MARK = sql`interval '1 day'`;

/** Two common table expressions that store those of the sections that are not there, and mark the others as used. */
export function storing(sections: readonly StoredSection[]): Sql {
  return sql`
    section AS (
      SELECT u.cluster_id, decode(u.hash, 'hex') AS hash, u.content::jsonb AS content
        FROM unnest(${sections.map((each) => each.clusterId)}::uuid[], ${sections.map((each) => each.hash.toString('hex'))}::text[],
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
    )`;
}
