export const ROLLOUT_STATES = [
  'draft',
  'pending_approval',
  'approved',
  'running',
  'paused',
  'rolling_back',
  'succeeded',
  'succeeded_with_deferred',
  'rolled_back',
  'rollback_stalled',
  'cancelled',
] as const;
export type RolloutState = (typeof ROLLOUT_STATES)[number];

/** Why a rollout is paused. */
export const PAUSE_REASONS = [
  'operator',
  'error_threshold',
  'success_threshold_missed',
  'no_evidence',
  'progress_deadline',
  'slots_exhausted',
  'blocked',
  /** It would have gone back by itself, and a migration of it cannot be undone. */
  'irreversible_migration',
] as const;
export type PauseReason = (typeof PAUSE_REASONS)[number];

/** What may follow a state. A finished rollout can still be taken back: what it did may turn out bad later. */
export const NEXT_ROLLOUT_STATES: Record<RolloutState, readonly RolloutState[]> = {
  draft: ['pending_approval', 'running', 'cancelled'],
  pending_approval: ['approved', 'cancelled'],
  approved: ['running', 'cancelled'],
  running: ['paused', 'rolling_back', 'succeeded', 'succeeded_with_deferred', 'cancelled'],
  // For another reason: its version is blocked, and cannot be undone.
  paused: ['running', 'paused', 'rolling_back', 'cancelled'],
  rolling_back: ['rolled_back', 'rollback_stalled'],
  succeeded: ['rolling_back'],
  succeeded_with_deferred: ['rolling_back'],
  rolled_back: [],
  rollback_stalled: ['rolling_back'],
  cancelled: [],
};

/** At most one rollout of a cluster and product is in one of these; a partial unique index holds it. */
export const UNFINISHED_STATES: readonly RolloutState[] = [
  'pending_approval',
  'approved',
  'running',
  'paused',
  'rolling_back',
];

export function isUnfinished(state: RolloutState): boolean {
  return UNFINISHED_STATES.includes(state);
}

/** Whether entering `to` needs a place in the index that `from` does not hold yet. */
export function entersTheIndex(from: RolloutState, to: RolloutState): boolean {
  return !isUnfinished(from) && isUnfinished(to);
}

export function mayFollow(from: RolloutState, to: RolloutState): boolean {
  return NEXT_ROLLOUT_STATES[from].includes(to);
}

/** The states from which `to` can be entered. */
export function statesBefore(to: RolloutState): readonly RolloutState[] {
  return ROLLOUT_STATES.filter((from) => mayFollow(from, to));
}
