import type { AuditEvent } from '../../common/audit/audit-event.js';
import { conflict, type DomainError, forbidden, notFound } from '../../common/errors/domain-error.js';
import type { Actor } from '../../common/request/actor.js';
import type { ReleaseManifest } from './manifest.schema.js';

/** Who did something, by what the database keeps. */
export interface Doer {
  type: string;
  id: string;
}

/** What has been decided of a release. A block stands beside an approval and hides it; it takes nothing back. */
export interface ReleaseStanding {
  approvedAt: Date | null;
  approvedBy: Doer | null;
  blockedAt: Date | null;
  blockedBy: Doer | null;
  blockReason: string | null;
}

/** A published version of a product. */
export interface Release extends ReleaseStanding {
  id: string;
  productId: string;
  /** Name of the product. */
  product: string;
  version: string;
  publishedAt: Date;
  publishedBy: Doer;
}

/** `blocked` whatever else was decided. */
export type ReleaseStatus = 'published' | 'approved' | 'blocked';

declare module '../../common/audit/audit-event.js' {
  interface AuditActions {
    'release.published': {
      before: null;
      after: { product: string; version: string; manifestSha256: string; signedBy: string[] };
    };
    'release.approved': { before: null; after: { version: string; manifestSha256: string } };
    'release.blocked': { before: null; after: { version: string; reason: string } };
    'release.unblocked': { before: { reason: string }; after: null };
    'release.artifact_stored': {
      before: null;
      after: { os?: string; arch?: string; migration?: string; sha256: string; sizeBytes: number };
    };
  }
}

export function releaseStatus({ approvedAt, blockedAt }: ReleaseStanding): ReleaseStatus {
  if (blockedAt !== null) return 'blocked';
  return approvedAt === null ? 'published' : 'approved';
}

/** Who does it, as the database keeps it. */
export function doerOf({ type, id }: Actor): Doer {
  return { type, id: id ?? type };
}

/**
 * Whether the release may be approved by `actor`; false: it is already.
 * @throws conflict `release_blocked`; forbidden `publisher_may_not_approve`
 */
export function mayApprove(
  release: Release,
  actor: Actor,
  policy: { releaseSelfApproval: boolean },
): boolean {
  if (release.blockedAt !== null) throw releaseBlocked(release);
  if (release.approvedAt !== null) return false;
  const { type, id } = doerOf(actor);
  const isPublisher = release.publishedBy.type === type && release.publishedBy.id === id;
  if (isPublisher && !policy.releaseSelfApproval) {
    throw forbidden(
      'publisher_may_not_approve',
      'The policy of the platform wants another than the publisher to approve a release.',
    );
  }
  return true;
}

/** @throws conflict `release_blocked`, `release_not_approved` */
export function requireServable(
  release: Pick<Release, 'version' | 'approvedAt' | 'blockedAt' | 'blockReason'>,
): void {
  if (release.blockedAt !== null) throw releaseBlocked(release);
  if (release.approvedAt === null)
    throw conflict('release_not_approved', `Version ${release.version} is not approved.`);
}

export function releasePublished(release: Release, manifestSha256: string, signedBy: string[]): AuditEvent {
  const { product, version } = release;
  const after = { product, version, manifestSha256, signedBy };
  return { ...about(release), action: 'release.published', before: null, after };
}

export function releaseApproved(release: Release, manifestSha256: string): AuditEvent {
  const after = { version: release.version, manifestSha256 };
  return { ...about(release), action: 'release.approved', before: null, after };
}

export function releaseWasBlocked(release: Release, reason: string): AuditEvent {
  const after = { version: release.version, reason };
  return { ...about(release, reason), action: 'release.blocked', before: null, after };
}

export function releaseUnblocked(release: Release): AuditEvent {
  const before = { reason: release.blockReason ?? '' };
  return { ...about(release), action: 'release.unblocked', before, after: null };
}

/** The bytes of an artifact, or of a migration's bundle, are there. */
export function artifactStored(
  release: Release,
  part: { os?: string; arch?: string; migration?: string },
  { sha256, size }: ReleaseManifest['migrations'][number]['bundle'],
): AuditEvent {
  const after = { ...part, sha256, sizeBytes: size };
  return { ...about(release), action: 'release.artifact_stored', before: null, after };
}

/** The name says which version it is: the id alone means nothing to people. */
function about({ id, product, version }: Release, reason: string | null = null) {
  const resource = { type: 'release', id, name: `${product} ${version}` };
  return { resource, clusterId: null, outcome: 'success', reason } as const;
}

function releaseBlocked({ version, blockReason }: Pick<Release, 'version' | 'blockReason'>): DomainError {
  return conflict('release_blocked', `Version ${version} is blocked: ${blockReason ?? ''}`);
}

export function noSuchRelease() {
  return notFound('not_found', 'There is no such release of this product.');
}
