import { type AssignmentState, countStates } from '../../../src/modules/rollouts/engine/assignment-state.js';
import type { RolloutFacts, WaveFacts } from '../../../src/modules/rollouts/engine/rollout-facts.js';

/** When all of it is looked at. */
const NOW = new Date('2027-01-01T12:00:00.000Z');
export const ago = (seconds: number) => new Date(NOW.getTime() - seconds * 1_000);

/** Members of a wave by their states. */
export function members(states: Partial<Record<AssignmentState, number>>): WaveFacts['counts'] {
  return countStates(
    Object.entries(states).flatMap(([state, count]) =>
      Array<AssignmentState>(count).fill(state as AssignmentState),
    ),
  );
}

/** A wave that has proved the version, but for what is said. */
export function wave(change: Partial<WaveFacts> = {}): WaveFacts {
  return {
    name: 'canary',
    state: 'active',
    dependsOn: [],
    requiresApproval: false,
    isApproved: false,
    plannedMembers: 10,
    soakSeconds: 60,
    soakedMs: 0,
    soakingSince: null,
    counts: members({ ok: 10 }),
    acknowledged: { failures: 0, accepted: false },
    ...change,
  };
}

/** A running rollout of that wave alone. */
export function facts(change: Partial<RolloutFacts> = {}): RolloutFacts {
  return {
    state: 'running',
    pauseReason: null,
    now: NOW,
    thresholds: { successThresholdPercent: 95, failureThresholdPercent: 15, minEvidence: 1 },
    maxUnavailable: 2,
    progressDeadlineSeconds: 600,
    autoRollback: false,
    downgradePossible: true,
    isBlocked: false,
    windowOpen: true,
    runningSince: ago(300),
    lastProgressAt: ago(100),
    slots: { held: 0, stuck: 0 },
    waves: [wave()],
    leadsOn: false,
    held: [],
    openBack: 0,
    onBadVersion: 0,
    ...change,
  };
}

export const inWave = (change: Partial<WaveFacts>) => ({ waves: [wave(change)] });
