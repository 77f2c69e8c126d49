import type { DesiredWorkload, ObservedWorkload } from './workload.js';
import type { WorkloadObstacle } from './workload-cover.js';

/** Why a workload is not in sync. Where several causes hold, the one that explains the others is named. */
export const OUT_OF_SYNC_REASONS = [
  'not_desired',
  'membership_revoked',
  'membership_disabled',
  'role_not_effective',
  'not_reported',
  'unsupported',
  'failed',
  'degraded',
  'in_transition',
  'state_differs',
  'version_differs',
] as const;
export type OutOfSyncReason = (typeof OUT_OF_SYNC_REASONS)[number];

type Desired = Pick<DesiredWorkload, 'desiredState' | 'version'> | null;
type Observed = Pick<ObservedWorkload, 'reportedState' | 'reportedVersion'>;

/**
 * Whether the node does what is wanted, as far as it says: the reported state is the desired one and, where a version
 * is desired, the versions are equal. A degraded workload is not what was asked for. The column `in_sync` is generated
 * by the same rule, since lists filter by it; a test compares the two.
 */
export function isInSync(desired: Desired, observed: Observed): boolean {
  if (desired === null || observed.reportedState !== desired.desiredState) return false;
  return desired.version === null || observed.reportedVersion === desired.version;
}

/** Why the workload is not in sync; null when it is. @param obstacle why the node may not run it now */
export function outOfSyncReason(
  desired: Desired,
  observed: Observed,
  obstacle: WorkloadObstacle | null,
): OutOfSyncReason | null {
  if (desired === null) return 'not_desired';
  if (isInSync(desired, observed)) return null;
  if (obstacle !== null) return obstacle;
  const { reportedState } = observed;
  switch (reportedState) {
    case 'unknown':
      return 'not_reported';
    case 'unsupported':
    case 'failed':
    case 'degraded':
      return reportedState;
    case 'starting':
    case 'stopping':
      return 'in_transition';
    default:
      return reportedState === desired.desiredState ? 'version_differs' : 'state_differs';
  }
}
