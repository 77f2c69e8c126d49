import { Injectable } from '@nestjs/common';
import { empty, Sql, sql } from '../../common/database/sql.js';
import type { ReadTx, Tx } from '../../common/transaction/tx.js';
import type { ProductKind } from './product.js';
import type { ReleaseFacts } from './version-rules.js';

/** A product as rollouts know it. */
export interface KnownProduct {
  id: string;
  name: string;
  kind: ProductKind;
  serviceType: string | null;
}

/** Where a channel of a cluster points. */
export interface ChannelPointer {
  productId: string;
  channel: 'stable' | 'current' | 'candidate';
  releaseId: string | null;
  revision: number;
}

/** A file of a release that may leave the service: an artifact, or the bundle of a migration. */
export interface ServableFile {
  releaseId: string;
  product: string;
  version: string;
  /** Hexadecimal. */
  sha256: string;
  size: number;
  /** Of an artifact; null of a bundle. */
  os: string | null;
  arch: string | null;
}

/** A release as a node is told of it. */
export interface SignedRelease extends ReleaseFacts {
  /** The DSSE envelope byte for byte. */
  envelope: Buffer;
}

const FACTS = sql`r.id AS "releaseId", r.product_id AS "productId", r.version, r.approved_at IS NOT NULL AS "isApproved",
  r.blocked_at IS NOT NULL AS "isBlocked", r.manifest #>> '{compatibility,minAgentVersion}' AS "minAgentVersion",
  CASE jsonb_typeof(r.manifest #> '{compatibility,fromVersions}')
    WHEN 'array' THEN ARRAY(SELECT jsonb_array_elements_text(r.manifest #> '{compatibility,fromVersions}'))
    WHEN 'string' THEN ARRAY[r.manifest #>> '{compatibility,fromVersions}'] END AS "fromVersions",
  (SELECT jsonb_agg(jsonb_build_object('os', a.os, 'arch', a.arch, 'sha256', encode(a.sha256, 'hex'), 'size', a.size_bytes,
            'isStored', a.stored_at IS NOT NULL) ORDER BY a.os, a.arch)
     FROM release_artifacts AS a WHERE a.release_id = r.id) AS artifacts,
  coalesce((SELECT jsonb_agg(jsonb_build_object('id', m.migration_id, 'sourceVersion', m.source_version,
            'targetVersion', m.target_version, 'downgradePossible', m.downgrade_possible) ORDER BY m.position)
     FROM release_migrations AS m WHERE m.release_id = r.id), '[]') AS migrations`;

/** Ids of releases of which nothing is decided before a transaction ends. */
export interface HeldReleases {
  /** They may be installed: approved, and not blocked. */
  usable: string[];
  unusable: string[];
}

/** What rollouts and others ask of releases. */
@Injectable()
export class ReleasesReadModel {
  async product(tx: ReadTx, name: string): Promise<KnownProduct | null> {
    const [row] = await tx.query<KnownProduct>(sql`
      SELECT p.id, p.name, p.kind, p.service_type AS "serviceType" FROM products AS p WHERE p.name = ${name}`);
    return row ?? null;
  }

  /** Every release of a product with what its use depends on, oldest version first. */
  releasesOf(tx: ReadTx, productId: string): Promise<ReleaseFacts[]> {
    return tx.query<ReleaseFacts>(sql`
      SELECT ${FACTS} FROM releases AS r WHERE r.product_id = ${productId}::uuid ORDER BY r.version_order`);
  }

  async release(tx: ReadTx, productId: string, version: string): Promise<ReleaseFacts | null> {
    const [row] = await tx.query<ReleaseFacts>(sql`
      SELECT ${FACTS} FROM releases AS r WHERE r.product_id = ${productId}::uuid AND r.version = ${version}`);
    return row ?? null;
  }

  /**
   * Holds what is decided of a release until `tx` ends: no block commits before it. Taken before the rows of rollouts and
   * channels, as a block takes its own.
   */
  async hold(tx: Tx, releaseId: string): Promise<{ isApproved: boolean; isBlocked: boolean } | null> {
    const [row] = await tx.query<{ isApproved: boolean; isBlocked: boolean }>(sql`
      SELECT r.approved_at IS NOT NULL AS "isApproved", r.blocked_at IS NOT NULL AS "isBlocked"
        FROM releases AS r WHERE r.id = ${releaseId}::uuid FOR SHARE`);
    return row ?? null;
  }

  /** The same of several at once, in the order of their ids.
   *  @param releaseIds they, or a statement that finds them
   *  @param waits false: one of which something is being decided is left out, for who holds locks that come after */
  async holdAll(
    tx: Tx,
    releaseIds: readonly string[] | Sql,
    { waits = true }: { waits?: boolean } = {},
  ): Promise<HeldReleases> {
    const which =
      releaseIds instanceof Sql ? sql`IN (${releaseIds})` : sql`= ANY(${[...releaseIds]}::uuid[])`;
    const rows = await tx.query<{ id: string; isUsable: boolean }>(sql`
      SELECT r.id, r.approved_at IS NOT NULL AND r.blocked_at IS NULL AS "isUsable"
        FROM releases AS r WHERE r.id ${which} ORDER BY r.id FOR SHARE OF r ${waits ? empty : sql`SKIP LOCKED`}`);
    const idsOf = (isUsable: boolean) => rows.filter((row) => row.isUsable === isUsable).map(({ id }) => id);
    return { usable: idsOf(true), unusable: idsOf(false) };
  }

  /** Where the channels of a cluster point; those that never pointed anywhere are missing. */
  channels(tx: ReadTx, clusterId: string): Promise<ChannelPointer[]> {
    return tx.query<ChannelPointer>(sql`
      SELECT c.product_id AS "productId", c.channel, c.release_id AS "releaseId", c.revision::float8 AS revision
        FROM channels AS c WHERE c.cluster_id = ${clusterId}::uuid ORDER BY c.product_id, c.channel`);
  }

  /** The releases that a channel of a cluster has ever pointed to. */
  async namedBy(
    tx: ReadTx,
    clusterId: string,
    productId: string,
    channel: ChannelPointer['channel'],
  ): Promise<Set<string>> {
    const rows = await tx.query<{ releaseId: string }>(sql`
      SELECT DISTINCT m.release_id AS "releaseId" FROM channel_moves AS m
       WHERE m.cluster_id = ${clusterId}::uuid AND m.product_id = ${productId}::uuid AND m.channel = ${channel}
         AND m.release_id IS NOT NULL`);
    return new Set(rows.map(({ releaseId }) => releaseId));
  }

  /** Files of those of these releases that are approved and not blocked, whether or not their bytes are there yet. */
  servableFiles(tx: ReadTx, releaseIds: readonly string[]): Promise<ServableFile[]> {
    return tx.query<ServableFile>(sql`
      SELECT r.id AS "releaseId", p.name AS product, r.version, encode(f.sha256, 'hex') AS sha256,
             f.size_bytes::float8 AS size, f.os, f.arch
        FROM releases AS r JOIN products AS p ON p.id = r.product_id
        JOIN (SELECT a.release_id, a.sha256, a.size_bytes, a.os, a.arch FROM release_artifacts AS a
              UNION ALL
              SELECT m.release_id, m.sha256, m.size_bytes, NULL, NULL FROM release_migrations AS m) AS f ON f.release_id = r.id
       WHERE r.id = ANY (${[...releaseIds]}::uuid[]) AND r.approved_at IS NOT NULL AND r.blocked_at IS NULL`);
  }

  /** What nodes are handed of the releases that a statement finds, by id. */
  async signed(tx: ReadTx, releaseIds: Sql): Promise<Map<string, SignedRelease>> {
    const rows = await tx.query<SignedRelease>(sql`
      SELECT ${FACTS}, r.envelope FROM releases AS r WHERE r.id IN (${releaseIds})`);
    return new Map(rows.map((row) => [row.releaseId, row]));
  }
}
