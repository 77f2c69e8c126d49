import {
  type AssignmentCounts,
  FAILED_STATES,
  OPEN_STATES,
  sumOf,
  UNCOUNTED_STATES,
} from './assignment-state.js';
import { percentRoundedDown, percentRoundedUp } from './percentages.js';

/** How a rollout is measured. */
export interface Thresholds {
  successThresholdPercent: number;
  failureThresholdPercent: number;
  minEvidence: number;
}

/** What a decision about a wave rests on; written down with it. */
export interface Evidence {
  members: number;
  /** Members without the decommissioned, deferred and skipped. */
  counted: number;
  successes: number;
  failures: number;
  /** Of which something is still to come. */
  open: number;
  /** Rounded down. */
  allowedFailures: number;
  /** Rounded up. */
  neededSuccesses: number;
}

/** Failures of the wave are looked at before its successes, and nothing is proved by nobody. */
export type Verdict = 'error_threshold' | 'open' | 'no_evidence' | 'success_threshold_missed' | 'passed';

/** What the operator has taken on: that many failures, or the end of the wave as it was. */
export interface Acknowledged {
  failures: number;
  /** A wave that was closed without enough successes goes on as it is. */
  accepted: boolean;
}

export function evidenceOf(counts: AssignmentCounts, thresholds: Thresholds): Evidence {
  const members = Object.values(counts).reduce((sum, count) => sum + count, 0);
  const counted = members - sumOf(counts, UNCOUNTED_STATES);
  return {
    members,
    counted,
    successes: counts.ok,
    failures: sumOf(counts, FAILED_STATES),
    open: sumOf(counts, OPEN_STATES),
    allowedFailures: percentRoundedDown(thresholds.failureThresholdPercent, counted),
    neededSuccesses: percentRoundedUp(thresholds.successThresholdPercent, counted),
  };
}

export function verdictOf(evidence: Evidence, minEvidence: number, acknowledged: Acknowledged): Verdict {
  if (hasTooManyFailures(evidence, acknowledged)) return 'error_threshold';
  if (evidence.open > 0) return 'open';
  if (acknowledged.accepted) return 'passed';
  if (evidence.counted === 0 || evidence.successes < minEvidence) return 'no_evidence';
  return evidence.successes < evidence.neededSuccesses ? 'success_threshold_missed' : 'passed';
}

export function hasTooManyFailures(
  { failures, allowedFailures }: Evidence,
  acknowledged: Pick<Acknowledged, 'failures'>,
): boolean {
  return failures > Math.max(allowedFailures, acknowledged.failures);
}
