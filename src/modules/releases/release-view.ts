import { ReleaseManifest } from './manifest.schema.js';
import { releaseStatus } from './release.js';
import type { ReleaseWhole } from './releases.repository.js';
import type { ReleaseSummary, ReleaseView } from './releases.schema.js';

/** A release as lists show it. */
export function releaseSummary({ productId: _, ...release }: ReleaseWhole): ReleaseSummary {
  const { artifacts, bundles, publishedAt, approvedAt, blockedAt } = release;
  return {
    ...release,
    status: releaseStatus(release),
    complete: [...artifacts, ...bundles].every(({ storedAt }) => storedAt !== null),
    publishedAt: publishedAt.toISOString(),
    approvedAt: approvedAt?.toISOString() ?? null,
    blockedAt: blockedAt?.toISOString() ?? null,
  };
}

/** A release alone. @param manifest the payload as JSON */
export function releaseView(release: ReleaseWhole, manifest: unknown): ReleaseView {
  return { ...releaseSummary(release), manifest: ReleaseManifest.parse(manifest) };
}
