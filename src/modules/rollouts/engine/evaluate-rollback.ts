import { progressIsOverdue } from './rollout-clocks.js';
import type { RolloutFacts, Step } from './rollout-facts.js';
import type { RolloutState } from './rollout-state.js';

/** The next step of a rollout that goes back: it is over when nobody has the version any more, and in the hands of an
 *  operator when nobody is left who could go, or nothing moves. */
export function evaluateRollback(facts: RolloutFacts): Step | null {
  if (facts.onBadVersion === 0) return end('rolled_back', null, 'nobody_on_the_version');
  if (facts.openBack === 0)
    return end('rollback_stalled', 'last_known_good_missing', 'last_known_good_missing');
  return progressIsOverdue(facts) ? end('rollback_stalled', 'progress_deadline', 'progress_deadline') : null;
}

function end(to: RolloutState, reason: Step['rule'] | null, rule: Step['rule']): Step {
  return { kind: 'rollout', to, reason, rule, wave: null, evidence: null };
}
