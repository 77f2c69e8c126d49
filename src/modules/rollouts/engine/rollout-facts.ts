import type { AssignmentCounts } from './assignment-state.js';
import type { PauseReason, RolloutState } from './rollout-state.js';
import type { Acknowledged, Evidence, Thresholds } from './verdict.js';
import type { WaveState } from './wave-state.js';

/** A wave as it stands, by numbers: who is in it does not matter to what is decided. */
export interface WaveFacts {
  name: string;
  state: WaveState;
  dependsOn: readonly string[];
  requiresApproval: boolean;
  isApproved: boolean;
  /** Nodes that the plan puts into it. */
  plannedMembers: number;
  soakSeconds: number;
  /** What it had soaked when the rollout was last paused. */
  soakedMs: number;
  soakingSince: Date | null;
  counts: AssignmentCounts;
  acknowledged: Acknowledged;
}

/** All that decides about a rollout, read in one transaction under its lock. */
export interface RolloutFacts {
  state: RolloutState;
  /** null: it is not paused. */
  pauseReason: PauseReason | null;
  now: Date;
  thresholds: Thresholds;
  maxUnavailable: number;
  progressDeadlineSeconds: number;
  autoRollback: boolean;
  /** Every migration on the way can be undone. */
  downgradePossible: boolean;
  /** The target version is blocked. */
  isBlocked: boolean;
  windowOpen: boolean;
  /** Since when it runs, or goes back, without a pause. */
  runningSince: Date;
  /** When an assignment last changed its state. */
  lastProgressAt: Date;
  slots: {
    /** By nodes of the product in the cluster, whichever rollout gave them. */
    held: number;
    /** Of them: by lost and fenced nodes, which give nothing back by themselves. */
    stuck: number;
  };
  waves: readonly WaveFacts[];
  /** It leads nodes as long as an emergency pin decides, and comes to no end before that. */
  leadsOn: boolean;
  /** Waves of which nodes wait for the end of an emergency pin. */
  held: readonly string[];
  /** Ways back that are still open. */
  openBack: number;
  /** Nodes that have, or may have, the version that is to go; fenced ones and those written off left out. */
  onBadVersion: number;
}

/** Why the engine does something: the rule that has decided. */
export type StepRule =
  | 'version_blocked'
  | 'error_threshold'
  | 'slots_exhausted'
  | 'progress_deadline'
  | 'no_evidence'
  | 'success_threshold_missed'
  | 'wave_closed'
  | 'soaked'
  | 'dependencies_done'
  | 'wave_opened'
  | 'nothing_planned'
  | 'all_waves_done'
  | 'nobody_on_the_version'
  | 'last_known_good_missing';

/** What the engine does next; one decision record each. */
export type Step = {
  rule: StepRule;
  /** Name of the wave that it is about. */
  wave: string | null;
  /** What the decision rests on, where it rests on numbers. */
  evidence: Evidence | null;
} & (
  | { kind: 'wave'; wave: string; to: WaveState }
  | { kind: 'rollout'; to: RolloutState; reason: PauseReason | StepRule | null }
);
