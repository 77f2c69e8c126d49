import { evaluateRollback } from './evaluate-rollback.js';
import { progressIsOverdue, soakedSeconds } from './rollout-clocks.js';
import type { RolloutFacts, Step, WaveFacts } from './rollout-facts.js';
import type { PauseReason } from './rollout-state.js';
import { RULES, type Rules } from './rules.js';
import { type Evidence, evidenceOf, hasTooManyFailures, type Verdict } from './verdict.js';
import { isActivated } from './wave-state.js';

/** A wave with the evidence that it gives. */
interface Judged {
  wave: WaveFacts;
  evidence: Evidence;
  verdict: Verdict;
}

/**
 * The next step of a rollout; null: it waits for nodes, people or time.
 *
 * What went wrong is looked at before what went well, so that a wave that fails never lets the next one begin. A caller
 * takes one step at a time and asks again: between any two of them it may be killed.
 */
export function nextStep(facts: RolloutFacts, rules: Rules = RULES): Step | null {
  if (facts.state === 'rolling_back') return evaluateRollback(facts);
  if (facts.state === 'paused') return blocked(facts);
  if (facts.state !== 'running') return null;
  const judged = facts.waves.map((wave) => judge(facts, wave, rules));
  return failing(facts, judged) ?? stuck(facts, judged) ?? advancing(facts, judged, rules);
}

function judge({ thresholds }: RolloutFacts, wave: WaveFacts, rules: Rules): Judged {
  const evidence = evidenceOf(wave.counts, thresholds);
  return { wave, evidence, verdict: rules.verdictOf(evidence, thresholds.minEvidence, wave.acknowledged) };
}

function blocked({ isBlocked, downgradePossible, pauseReason }: RolloutFacts): Step | null {
  if (!isBlocked) return null;
  if (downgradePossible) return goBack('version_blocked');
  return pauseReason === 'blocked' ? null : pause('blocked', 'version_blocked');
}

function failing(facts: RolloutFacts, judged: readonly Judged[]): Step | null {
  if (facts.isBlocked) return blocked(facts);
  const bad = judged.find(
    ({ wave, evidence }) => isActivated(wave.state) && hasTooManyFailures(evidence, wave.acknowledged),
  );
  if (bad === undefined) return null;
  if (!facts.autoRollback) return pause('error_threshold', 'error_threshold', bad);
  return facts.downgradePossible
    ? goBack('error_threshold', bad)
    : pause('irreversible_migration', 'error_threshold', bad);
}

function stuck(facts: RolloutFacts, judged: readonly Judged[]): Step | null {
  const { held, stuck: stuckSlots } = facts.slots;
  const waiting = judged.find(({ wave, evidence }) => isActivated(wave.state) && evidence.open > 0);
  if (waiting === undefined) return null;
  if (held >= facts.maxUnavailable && stuckSlots === held)
    return pause('slots_exhausted', 'slots_exhausted', waiting);
  return facts.windowOpen && progressIsOverdue(facts)
    ? pause('progress_deadline', 'progress_deadline', waiting)
    : null;
}

function advancing(facts: RolloutFacts, judged: readonly Judged[], rules: Rules): Step | null {
  for (const each of judged) {
    const step = stepOf(facts, each, rules);
    if (step !== null) return step;
  }
  const isOver = judged.every(({ wave, evidence }) => wave.state === 'done' && evidence.open === 0);
  // Who is held goes on from where it is, so that the rollout is there for it.
  if (!isOver || facts.held.length > 0) return null;
  const deferred = facts.waves.reduce((sum, { counts }) => sum + counts.deferred, 0);
  const to = deferred === 0 ? 'succeeded' : 'succeeded_with_deferred';
  return { kind: 'rollout', to, reason: null, rule: 'all_waves_done', wave: null, evidence: null };
}

function stepOf(facts: RolloutFacts, judged: Judged, rules: Rules): Step | null {
  const { wave, evidence } = judged;
  const move = (to: WaveFacts['state'], rule: Step['rule']): Step => ({
    kind: 'wave',
    wave: wave.name,
    to,
    rule,
    evidence,
  });
  switch (wave.state) {
    case 'pending':
      return rules.dependenciesDone(statesBefore(facts, wave)) ? move('gated', 'dependencies_done') : null;
    case 'gated':
      // It was empty from the start: it holds nobody up, and proves nothing for those that did not depend on it.
      if (wave.plannedMembers === 0 && !facts.leadsOn) return move('done', 'nothing_planned');
      if (wave.requiresApproval && !wave.isApproved) return null;
      return facts.windowOpen ? move('active', 'wave_opened') : null;
    case 'active':
      if (facts.leadsOn) return null;
      return afterClosing(facts, judged, () => move('soaking', 'wave_closed'));
    case 'soaking':
      return afterClosing(facts, judged, () =>
        soakedSeconds(facts, wave) >= wave.soakSeconds ? move('done', 'soaked') : null,
      );
    default:
      return null;
  }
}

/** A wave in which nothing is open any more goes on when it has proved the version, and stops the rollout otherwise: after
 *  the nodes that are held, where there are any, have had their turn. */
function afterClosing({ held }: RolloutFacts, judged: Judged, passed: () => Step | null): Step | null {
  const { verdict, wave } = judged;
  if (verdict === 'passed') return passed();
  if (held.includes(wave.name)) return null;
  return verdict === 'no_evidence' || verdict === 'success_threshold_missed'
    ? pause(verdict, verdict, judged)
    : null;
}

function statesBefore({ waves }: RolloutFacts, { dependsOn }: WaveFacts): WaveFacts['state'][] {
  return waves.filter(({ name }) => dependsOn.includes(name)).map(({ state }) => state);
}

function pause(reason: PauseReason, rule: Step['rule'], judged?: Judged): Step {
  return { kind: 'rollout', to: 'paused', reason, rule, ...about(judged) };
}

function goBack(rule: Step['rule'], judged?: Judged): Step {
  return { kind: 'rollout', to: 'rolling_back', reason: rule, rule, ...about(judged) };
}

function about(judged: Judged | undefined): Pick<Step, 'wave' | 'evidence'> {
  return { wave: judged?.wave.name ?? null, evidence: judged?.evidence ?? null };
}
