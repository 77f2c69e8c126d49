import { Injectable } from '@nestjs/common';
import { Database } from '../../common/database/database.js';
import { join, sql } from '../../common/database/sql.js';
import type { ReadTx, Tx } from '../../common/transaction/tx.js';
import type { ContentId } from './artifact-store.js';

/** What of a release: the artifact for one system, or the bundle of a migration. */
export type ReleasePart = { os: string; arch: string } | { migration: string };

/** A file with what else matters to whoever downloads it. */
export interface ReleaseFile extends ContentId {
  releaseId: string;
  mediaType: string;
  fileName: string;
  storedAt: Date | null;
}

/** What a node may have: the artifact of a release for one system, and the bundles of its migrations. */
export interface NamedArtifact {
  releaseId: string;
  os: string;
  arch: string;
}

const BUNDLE_TYPE = 'application/octet-stream';

@Injectable()
export class ArtifactsRepository {
  constructor(private readonly database: Database) {}

  async find(tx: ReadTx, releaseId: string, part: ReleasePart): Promise<ReleaseFile | null> {
    const [row] = await tx.query<ReleaseFile>(
      'os' in part
        ? sql`
            SELECT a.release_id AS "releaseId", encode(a.sha256, 'hex') AS sha256, a.size_bytes::float8 AS size,
                   a.media_type AS "mediaType", a.file_name AS "fileName", a.stored_at AS "storedAt"
              FROM release_artifacts AS a
             WHERE a.release_id = ${releaseId}::uuid AND a.os = ${part.os} AND a.arch = ${part.arch}`
        : sql`
            SELECT m.release_id AS "releaseId", encode(m.sha256, 'hex') AS sha256, m.size_bytes::float8 AS size,
                   ${BUNDLE_TYPE} AS "mediaType", m.migration_id || '.bundle' AS "fileName", m.stored_at AS "storedAt"
              FROM release_migrations AS m
             WHERE m.release_id = ${releaseId}::uuid AND m.migration_id = ${part.migration}`,
    );
    return row ?? null;
  }

  /**
   * Says that the content is about to be brought. Before the bytes are: what a crash leaves behind is found by its row.
   * Committed at once.
   */
  async claim({ sha256, size }: ContentId): Promise<void> {
    await this.database.query(sql`
      INSERT INTO stored_objects AS o (sha256, size_bytes, claimed_at)
      VALUES (decode(${sha256}, 'hex'), ${size}, now())
      ON CONFLICT (sha256) DO UPDATE SET claimed_at = now()`);
  }

  /** Marks the part as stored; false when it was. Fails by its foreign key when the object was swept meanwhile. */
  async markStored(tx: Tx, releaseId: string, part: ReleasePart): Promise<boolean> {
    const rows = await tx.query(
      'os' in part
        ? sql`
            UPDATE release_artifacts AS a SET stored_sha256 = a.sha256, stored_at = ${tx.now}
             WHERE a.release_id = ${releaseId}::uuid AND a.os = ${part.os} AND a.arch = ${part.arch}
               AND a.stored_at IS NULL RETURNING a.os`
        : sql`
            UPDATE release_migrations AS m SET stored_sha256 = m.sha256, stored_at = ${tx.now}
             WHERE m.release_id = ${releaseId}::uuid AND m.migration_id = ${part.migration}
               AND m.stored_at IS NULL RETURNING m.migration_id`,
    );
    return rows.length === 1;
  }

  /** The file of this digest, if one of `named` is or brings it, and is approved, not blocked and stored. */
  async findNamed(tx: ReadTx, sha256: string, named: readonly NamedArtifact[]): Promise<ReleaseFile | null> {
    if (named.length === 0) return null;
    const wanted = join(named.map(({ releaseId, os, arch }) => sql`(${releaseId}::uuid, ${os}, ${arch})`));
    const [row] = await tx.query<ReleaseFile>(sql`
      WITH named (release_id, os, arch) AS (VALUES ${wanted}),
           servable AS (SELECT n.release_id, n.os, n.arch FROM named AS n JOIN releases AS r ON r.id = n.release_id
                         WHERE r.approved_at IS NOT NULL AND r.blocked_at IS NULL)
      SELECT a.release_id AS "releaseId", encode(a.sha256, 'hex') AS sha256, a.size_bytes::float8 AS size,
             a.media_type AS "mediaType", a.file_name AS "fileName", a.stored_at AS "storedAt"
        FROM servable AS s JOIN release_artifacts AS a ON a.release_id = s.release_id AND a.os = s.os AND a.arch = s.arch
       WHERE a.sha256 = decode(${sha256}, 'hex') AND a.stored_at IS NOT NULL
      UNION ALL
      SELECT m.release_id, encode(m.sha256, 'hex'), m.size_bytes::float8, ${BUNDLE_TYPE},
             m.migration_id || '.bundle', m.stored_at
        FROM servable AS s JOIN release_migrations AS m ON m.release_id = s.release_id
       WHERE m.sha256 = decode(${sha256}, 'hex') AND m.stored_at IS NOT NULL
       LIMIT 1`);
    return row ?? null;
  }

  /** Digests that nothing names and that nobody has begun to bring since `before`. */
  async unused(before: Date, limit: number): Promise<string[]> {
    const rows = await this.database.query<{ sha256: string }>(sql`
      SELECT encode(o.sha256, 'hex') AS sha256 FROM stored_objects AS o
       WHERE o.claimed_at < ${before}
         AND NOT EXISTS (SELECT 1 FROM release_artifacts AS a WHERE a.stored_sha256 = o.sha256)
         AND NOT EXISTS (SELECT 1 FROM release_migrations AS m WHERE m.stored_sha256 = o.sha256)
       ORDER BY o.claimed_at LIMIT ${limit}`);
    return rows.map((row) => row.sha256);
  }

  /** Takes the row of an unused object away; false when it is in use or claimed after all. */
  async forget(tx: Tx, sha256: string, before: Date): Promise<boolean> {
    const rows = await tx.query(sql`
      DELETE FROM stored_objects AS o WHERE o.sha256 = decode(${sha256}, 'hex') AND o.claimed_at < ${before}
         AND NOT EXISTS (SELECT 1 FROM release_artifacts AS a WHERE a.stored_sha256 = o.sha256)
         AND NOT EXISTS (SELECT 1 FROM release_migrations AS m WHERE m.stored_sha256 = o.sha256)
      RETURNING true AS gone`);
    return rows.length === 1;
  }
}
