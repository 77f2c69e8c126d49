import { nextStep } from './evaluation.js';
import type { RolloutFacts, StepRule } from './rollout-facts.js';
import type { PauseReason } from './rollout-state.js';
import { RULES, type Rules } from './rules.js';
import { evidenceOf } from './verdict.js';
import { isActivated } from './wave-state.js';

/** What the operator takes on for a wave. */
export interface WaveAcknowledgement {
  wave: string;
  failures: number;
  accepted: boolean;
}

export type Resumption =
  | { kind: 'resumed'; acknowledgements: readonly WaveAcknowledgement[] }
  /** The cause is still there, and the decision that paused it is not the one that was acknowledged. */
  | { kind: 'not_acknowledged' }
  /** The cause is still there, and has to go first. */
  | { kind: 'not_cleared' };

/** Against these no word of an operator helps: no slot is free, and no blocked version leaves. */
const NEVER_ACKNOWLEDGED: readonly StepRule[] = ['slots_exhausted', 'version_blocked'];

/**
 * Whether a paused rollout may go on: its cause is gone, or somebody has named the very decision that paused it. What is
 * acknowledged is what there was then: one failure more pauses it again.
 */
export function resumption(
  paused: RolloutFacts,
  reason: PauseReason,
  isAcknowledged: boolean,
  rules: Rules = RULES,
): Resumption {
  const obstacle = nextStop(paused, rules);
  if (obstacle !== null && NEVER_ACKNOWLEDGED.includes(obstacle)) return { kind: 'not_cleared' };
  // The deadline starts again with the rollout, so that what comes next does not show it.
  if (obstacle === null && reason !== 'progress_deadline') return { kind: 'resumed', acknowledgements: [] };
  if (!isAcknowledged) return { kind: 'not_acknowledged' };
  return { kind: 'resumed', acknowledgements: acknowledgementsOf(paused) };
}

/** What would stop the rollout as soon as it ran. */
function nextStop(paused: RolloutFacts, rules: Rules): StepRule | null {
  const step = nextStep({ ...paused, state: 'running', pauseReason: null, runningSince: paused.now }, rules);
  if (step === null || step.kind === 'wave') return null;
  return step.to === 'paused' || step.to === 'rolling_back' ? step.rule : null;
}

function acknowledgementsOf({ waves, thresholds }: RolloutFacts): WaveAcknowledgement[] {
  return waves
    .filter(({ state }) => isActivated(state))
    .map(({ name, counts, acknowledged }) => {
      const { failures, open } = evidenceOf(counts, thresholds);
      return { wave: name, failures, accepted: acknowledged.accepted || open === 0 };
    });
}
