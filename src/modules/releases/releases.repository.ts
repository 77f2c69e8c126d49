import { Injectable } from '@nestjs/common';
import { join, type Sql, sql } from '../../common/database/sql.js';
import type { CursorValues } from '../../common/http/cursor.js';
import type { ReadTx, Tx } from '../../common/transaction/tx.js';
import type { ReleaseManifest } from './manifest.schema.js';
import type { Doer, Release, ReleaseStatus } from './release.js';

/** A release as it is published. */
export interface NewRelease {
  productId: string;
  manifest: ReleaseManifest;
  /** The manifest as JSON text: what was sent, with nothing filled in. */
  manifestText: string;
  envelope: Buffer;
  payload: Buffer;
  signingKeyIds: readonly string[];
  publishedBy: Doer;
}

/** A key that has signed a release. */
export interface ReleaseSignature {
  keyId: string;
  signingKeyId: string;
  name: string;
  revoked: boolean;
}

/** The file of a release for one system. */
export interface ReleaseArtifact {
  os: 'linux' | 'windows' | 'darwin' | 'android';
  arch: 'x64' | 'arm64';
  /** Hexadecimal. */
  sha256: string;
  size: number;
  mediaType: string;
  fileName: string;
  /** null: its bytes are not there yet. */
  storedAt: string | null;
}

/** The bundle of a migration. */
export interface ReleaseBundle {
  migration: string;
  sha256: string;
  size: number;
  storedAt: string | null;
}

/** A release with everything that is shown of it. */
export interface ReleaseWhole extends Release {
  manifestSha256: string;
  signatures: ReleaseSignature[];
  artifacts: ReleaseArtifact[];
  bundles: ReleaseBundle[];
}

/** Which releases a list shows. */
export interface ReleaseFilter {
  status?: ReleaseStatus | undefined;
  signingKeyId?: string | undefined;
}

type Row = Omit<ReleaseWhole, 'publishedBy' | 'approvedBy' | 'blockedBy'> & {
  publishedByType: string;
  publishedById: string;
  approvedByType: string | null;
  approvedById: string | null;
  blockedByType: string | null;
  blockedById: string | null;
};

const HEAD = sql`r.id, r.product_id AS "productId", p.name AS product, r.version, r.published_at AS "publishedAt",
  r.published_by_type AS "publishedByType", r.published_by_id AS "publishedById",
  r.approved_at AS "approvedAt", r.approved_by_type AS "approvedByType", r.approved_by_id AS "approvedById",
  r.blocked_at AS "blockedAt", r.blocked_by_type AS "blockedByType", r.blocked_by_id AS "blockedById",
  r.block_reason AS "blockReason", encode(r.payload_sha256, 'hex') AS "manifestSha256"`;

const UTC = 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"';
const storedAt = sql`to_char(a.stored_at AT TIME ZONE 'UTC', ${UTC})`;

const PARTS = sql`
  coalesce((SELECT jsonb_agg(jsonb_build_object('keyId', k.key_id, 'signingKeyId', k.id, 'name', k.name,
              'revoked', k.revoked_at IS NOT NULL) ORDER BY k.key_id)
     FROM release_signatures AS s JOIN signing_keys AS k ON k.id = s.signing_key_id
    WHERE s.release_id = r.id), '[]') AS signatures,
  coalesce((SELECT jsonb_agg(jsonb_build_object('os', a.os, 'arch', a.arch, 'sha256', encode(a.sha256, 'hex'),
              'size', a.size_bytes, 'mediaType', a.media_type, 'fileName', a.file_name, 'storedAt', ${storedAt})
              ORDER BY a.os, a.arch)
     FROM release_artifacts AS a WHERE a.release_id = r.id), '[]') AS artifacts,
  coalesce((SELECT jsonb_agg(jsonb_build_object('migration', a.migration_id, 'sha256', encode(a.sha256, 'hex'),
              'size', a.size_bytes, 'storedAt', ${storedAt}) ORDER BY a.position)
     FROM release_migrations AS a WHERE a.release_id = r.id), '[]') AS bundles`;

const FROM = sql`FROM releases AS r JOIN products AS p ON p.id = r.product_id`;

@Injectable()
export class ReleasesRepository {
  /** null: the product has this version, or one that is equal to it in precedence. */
  async insert(tx: Tx, release: NewRelease): Promise<string | null> {
    const { productId, manifest, envelope, payload, publishedBy } = release;
    const [made] = await tx.query<{ id: string }>(sql`
      INSERT INTO releases AS r (id, product_id, version, envelope, payload, payload_sha256, manifest, published_at,
             published_by_type, published_by_id)
      VALUES (${tx.newId()}::uuid, ${productId}::uuid, ${manifest.version}, ${envelope}, ${payload}, sha256(${payload}),
              ${release.manifestText}::jsonb, ${tx.now}, ${publishedBy.type}, ${publishedBy.id})
      ON CONFLICT (product_id, version_order) DO NOTHING RETURNING r.id`);
    if (made === undefined) return null;
    await tx.query(sql`
      INSERT INTO release_signatures (release_id, signing_key_id)
      SELECT ${made.id}::uuid, k.id FROM unnest(${[...release.signingKeyIds]}::uuid[]) AS k (id)`);
    await tx.query(sql`
      INSERT INTO release_artifacts (release_id, os, arch, sha256, size_bytes, media_type, file_name)
      SELECT ${made.id}::uuid, a.os, a.arch, decode(a.sha256, 'hex'), a.size, a."mediaType", a."fileName"
        FROM jsonb_to_recordset(${JSON.stringify(manifest.artifacts)}::jsonb) AS a (os text, arch text, sha256 text,
             size bigint, "mediaType" text, "fileName" text)`);
    await tx.query(sql`
      INSERT INTO release_migrations (release_id, migration_id, position, target, source_version, target_version,
             backup_required, downgrade_possible, sha256, size_bytes)
      SELECT ${made.id}::uuid, m.item ->> 'id', m.place - 1, m.item ->> 'target', m.item ->> 'sourceVersion',
             m.item ->> 'targetVersion', (m.item -> 'backupRequired')::boolean, (m.item -> 'downgradePossible')::boolean,
             decode(m.item -> 'bundle' ->> 'sha256', 'hex'), (m.item -> 'bundle' -> 'size')::bigint
        FROM jsonb_array_elements(${JSON.stringify(manifest.migrations)}::jsonb) WITH ORDINALITY AS m (item, place)`);
    return made.id;
  }

  async find(tx: ReadTx, product: string, version: string): Promise<ReleaseWhole | null> {
    const [row] = await tx.query<Row>(sql`
      SELECT ${HEAD}, ${PARTS} ${FROM} WHERE p.name = ${product} AND r.version = ${version}`);
    return row === undefined ? null : releaseOf(row);
  }

  /** The version that stands in the way of another: the same, or equal to it in precedence. */
  async versionLike(tx: ReadTx, productId: string, version: string): Promise<string | null> {
    const [row] = await tx.query<{ version: string }>(sql`
      SELECT r.version FROM releases AS r
       WHERE r.product_id = ${productId}::uuid AND r.version_order = version_order(${version})`);
    return row?.version ?? null;
  }

  /** Locks the release against decisions, and against channels that would come to point to it. */
  async lock(tx: Tx, product: string, version: string): Promise<boolean> {
    const rows = await tx.query(sql`
      SELECT r.id ${FROM} WHERE p.name = ${product} AND r.version = ${version} FOR NO KEY UPDATE OF r`);
    return rows.length === 1;
  }

  /** Holds what is decided of the release until `tx` ends. */
  async hold(tx: Tx, product: string, version: string): Promise<boolean> {
    const rows = await tx.query(sql`
      SELECT r.id ${FROM} WHERE p.name = ${product} AND r.version = ${version} FOR SHARE OF r`);
    return rows.length === 1;
  }

  /** Newest first. */
  async list(
    tx: ReadTx,
    product: string,
    filter: ReleaseFilter,
    after: CursorValues | null,
    limit: number,
  ): Promise<ReleaseWhole[]> {
    const [publishedAt = null, id = null] = after ?? [];
    const conditions: Sql[] = [sql`p.name = ${product}`];
    if (filter.status !== undefined) conditions.push(STATUS[filter.status]);
    if (filter.signingKeyId !== undefined)
      conditions.push(sql`EXISTS (SELECT 1 FROM release_signatures AS s
        WHERE s.release_id = r.id AND s.signing_key_id = ${filter.signingKeyId}::uuid)`);
    if (id !== null)
      conditions.push(sql`(r.published_at, r.id) < (${publishedAt}::timestamptz, ${id}::uuid)`);
    const rows = await tx.query<Row>(sql`
      SELECT ${HEAD}, ${PARTS} ${FROM} WHERE ${join(conditions, ' AND ')}
       ORDER BY r.published_at DESC, r.id DESC LIMIT ${limit + 1}`);
    return rows.map(releaseOf);
  }

  /** The payload as JSON. */
  async manifest(tx: ReadTx, id: string): Promise<unknown> {
    const [row] = await tx.query<{ manifest: unknown }>(
      sql`SELECT r.manifest FROM releases AS r WHERE r.id = ${id}::uuid`,
    );
    return row?.manifest;
  }

  /** The envelope byte for byte as it came. */
  async envelope(tx: ReadTx, product: string, version: string): Promise<Buffer | null> {
    const [row] = await tx.query<{ envelope: Buffer }>(sql`
      SELECT r.envelope ${FROM} WHERE p.name = ${product} AND r.version = ${version}`);
    return row?.envelope ?? null;
  }

  async approve(tx: Tx, id: string, by: Doer): Promise<void> {
    await tx.query(sql`
      UPDATE releases AS r SET approved_at = ${tx.now}, approved_by_type = ${by.type}, approved_by_id = ${by.id}
       WHERE r.id = ${id}::uuid`);
  }

  async block(tx: Tx, id: string, by: Doer, reason: string): Promise<void> {
    await tx.query(sql`
      UPDATE releases AS r SET blocked_at = ${tx.now}, blocked_by_type = ${by.type}, blocked_by_id = ${by.id},
             block_reason = ${reason} WHERE r.id = ${id}::uuid`);
  }

  async unblock(tx: Tx, id: string): Promise<void> {
    await tx.query(sql`
      UPDATE releases AS r SET blocked_at = NULL, blocked_by_type = NULL, blocked_by_id = NULL, block_reason = NULL
       WHERE r.id = ${id}::uuid`);
  }
}

const STATUS: Record<ReleaseStatus, Sql> = {
  blocked: sql`r.blocked_at IS NOT NULL`,
  approved: sql`r.blocked_at IS NULL AND r.approved_at IS NOT NULL`,
  published: sql`r.blocked_at IS NULL AND r.approved_at IS NULL`,
};

function releaseOf(row: Row): ReleaseWhole {
  const {
    publishedByType,
    publishedById,
    approvedByType,
    approvedById,
    blockedByType,
    blockedById,
    ...release
  } = row;
  return {
    ...release,
    publishedBy: { type: publishedByType, id: publishedById },
    approvedBy: doer(approvedByType, approvedById),
    blockedBy: doer(blockedByType, blockedById),
  };
}

function doer(type: string | null, id: string | null): Doer | null {
  return type === null || id === null ? null : { type, id };
}
