import type { DesiredVersion } from './engine/desired-version.js';
import { LEASE_REASONS } from './engine/lease-care.js';
import type { VersionExplanation } from './version-pins.schema.js';

/** Why a node does not update, and what would change that. */
interface Obstacle {
  because: string;
  remedy: string;
}

const OF_REFUSAL: Partial<Record<DesiredVersion['reason'], Obstacle>> = {
  fenced: { because: 'The node is fenced.', remedy: 'An operator unfences it.' },
  release_unknown: { because: 'There is no such release.', remedy: 'The release is published.' },
  release_not_approved: { because: 'The release is not approved.', remedy: 'The release is approved.' },
  release_blocked: {
    because: 'The release is blocked.',
    remedy: 'The release is unblocked, or another one is wanted.',
  },
  no_artifact_for_platform: {
    because: 'The release has no file for the system of the node.',
    remedy: 'A release with such a file.',
  },
  no_version_path: {
    because: 'No way leads from the installed version there.',
    remedy: 'A release that may be reached from the installed version.',
  },
  downgrade_not_possible: {
    because: 'The installed version has changed data for good.',
    remedy: 'A later version is wanted.',
  },
};

const OF_ASSIGNMENT: Record<string, Obstacle> = {
  planned: {
    because: 'Its wave is not active, or nobody may prepare more.',
    remedy: 'The waves before it are done.',
  },
  offered: {
    because: 'It prepares, or waits for a slot.',
    remedy: 'It has staged the version, and a slot is free.',
  },
  deferred: {
    because: 'It was away when its turn came.',
    remedy: 'It is heard of again while the rollout runs.',
  },
  lost: { because: 'It is out of service and silent.', remedy: 'It reports, or an operator writes it off.' },
  failed: { because: 'It has failed to prepare in this rollout.', remedy: 'Another rollout.' },
  rolled_back: { because: 'It has gone back in this rollout.', remedy: 'Another rollout.' },
  skipped: { because: 'The rollout leaves it out.', remedy: 'Another rollout, when the reason is gone.' },
  cancelled: { because: 'The rollout has ended before its turn.', remedy: 'Another rollout.' },
};

/** Reasons that say more than the state does. */
const OF_REASON: Record<string, Obstacle> = {
  emergency_pin: {
    because: 'An emergency pin has led it elsewhere.',
    remedy: 'It is free, and heard of while the rollout runs.',
  },
  update_in_progress: {
    because: 'It has begun another update.',
    remedy: 'It has finished that, or has come back from it.',
  },
};

function obstacleIn({
  assignmentState,
  assignmentReason,
  updateState,
  phase,
}: NonNullable<VersionExplanation['rollout']>): Obstacle[] {
  if (assignmentState === 'lost' && phase === null)
    return [{ because: 'It was written off in this rollout.', remedy: 'Another rollout.' }];
  if (assignmentState === 'offered' && updateState === 'failed')
    return [{ because: 'It has failed to prepare, and may try again.', remedy: 'It tries again.' }];
  if (assignmentState === 'offered' && assignmentReason === LEASE_REASONS.waiting)
    return [
      {
        because: 'It holds a VPN lease, or is to take one, and goes when another node has it.',
        remedy: 'The candidate acquires the lease, or the wait for it is over.',
      },
    ];
  const isOut = assignmentState === 'deferred' || assignmentState === 'skipped';
  const told = isOut ? OF_REASON[assignmentReason ?? ''] : undefined;
  return [told ?? OF_ASSIGNMENT[assignmentState] ?? []].flat();
}

/** By rollouts of which kind pins lead. */
const KIND_OF_RULE: Partial<Record<DesiredVersion['rule'], string>> = {
  emergency_pin: 'emergency',
  node_pin: 'pin',
};

/** All that keeps the node from the version that it is to have; nothing, where it has it or is on its way. */
export function whyNot(
  { reason, version, rule }: DesiredVersion,
  installed: string | null,
  rollout: VersionExplanation['rollout'],
  isAway: boolean,
): Obstacle[] {
  const found: Obstacle[] = [];
  const refusal = OF_REFUSAL[reason];
  if (refusal !== undefined) found.push(refusal);
  if (isAway)
    found.push({
      because: 'The node is offline or disabled.',
      remedy: 'It sends heartbeats as an active member.',
    });
  if (rollout?.state === 'paused')
    found.push({
      because: `Its rollout is paused: ${rollout.stateReason}.`,
      remedy: 'The rollout is resumed.',
    });
  if (rollout?.state === 'pending_approval' || rollout?.state === 'approved')
    found.push({ because: 'Its rollout has not begun.', remedy: 'It is approved, and its time has come.' });
  // Of a pinned node other rollouts decide nothing.
  else if (rollout !== null && (KIND_OF_RULE[rule] ?? rollout.kind) === rollout.kind)
    found.push(...obstacleIn(rollout));
  const isElsewhere =
    version !== null && version !== installed && found.length === 0 && rollout?.phase !== 'granted';
  if (isElsewhere)
    found.push({ because: 'No rollout leads it there.', remedy: 'A rollout of that version is started.' });
  return found;
}
