import { z } from 'zod';
import { ActorRef, Id, Instant, Reason } from '../../common/http/fields.js';
import { PageQuery, pageOf } from '../../common/http/paging.js';
import { Arch, Os, ProductName, ReleaseManifest, Sha256, Version } from './manifest.schema.js';

const Status = z
  .enum(['published', 'approved', 'blocked'])
  .describe('`blocked` whatever else was decided; only what is `approved` leaves the service.');
const SizeBytes = z.int().meta({ example: 18_874_368 });
const StoredAt = Instant.nullable().describe('When its bytes were all there; null: not yet.');

export const BlockRelease = z
  .strictObject({ reason: Reason.meta({ example: 'Loses sessions under load.' }) })
  .meta({ id: 'BlockRelease' });

export const ArtifactView = z
  .object({
    os: Os,
    arch: Arch,
    sha256: Sha256,
    size: SizeBytes,
    mediaType: z.string().meta({ example: 'application/gzip' }),
    fileName: z.string().meta({ example: 'rap-node-agent-1.4.0-linux-x64.tar.gz' }),
    storedAt: StoredAt,
  })
  .meta({ id: 'ReleaseArtifact' });
export type ArtifactView = z.infer<typeof ArtifactView>;

export const BundleView = z
  .object({
    migration: z.string().meta({ example: 'state-3' }),
    sha256: Sha256,
    size: SizeBytes,
    storedAt: StoredAt,
  })
  .meta({ id: 'ReleaseMigrationBundle' });
export type BundleView = z.infer<typeof BundleView>;

const summary = {
  id: Id,
  product: ProductName,
  version: Version,
  status: Status,
  manifestSha256: Sha256.describe('Of the payload byte for byte: what was signed, and is approved.'),
  signatures: z
    .array(
      z.object({
        keyId: z.string().meta({ example: 'kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k' }),
        signingKeyId: Id,
        name: z.string().meta({ example: 'Release key of Ada' }),
        revoked: z.boolean().describe('Whether the key has been revoked since.'),
      }),
    )
    .describe('Keys that were seen to have signed it when it was published.'),
  artifacts: z.array(ArtifactView),
  bundles: z.array(BundleView).describe('Bundles of its migrations.'),
  complete: z.boolean().describe('Whether every artifact and bundle is there.'),
  publishedAt: Instant,
  publishedBy: ActorRef,
  approvedAt: Instant.nullable(),
  approvedBy: ActorRef.nullable(),
  blockedAt: Instant.nullable().meta({ example: null }),
  blockedBy: ActorRef.nullable().meta({ example: null }),
  blockReason: z.string().nullable().meta({ example: null }),
};

export const ReleaseSummary = z.object(summary).meta({ id: 'ReleaseSummary' });
export type ReleaseSummary = z.infer<typeof ReleaseSummary>;

export const ReleaseView = z
  .object({
    ...summary,
    manifest: ReleaseManifest.describe('Read from the payload; what was signed is in the envelope.'),
  })
  .meta({ id: 'Release' });
export type ReleaseView = z.infer<typeof ReleaseView>;

export const ReleaseQuery = PageQuery.extend({
  status: Status.optional().meta({ description: 'Only those of this status.' }),
  signingKeyId: Id.optional().meta({ description: 'Only those that this key has signed.' }),
});

export const ReleasePage = pageOf(ReleaseSummary).meta({ id: 'ReleasePage' });
