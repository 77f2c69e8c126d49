import { expect, it } from '@jest/globals';
import fc from 'fast-check';
import { ASSIGNMENT_STATES, type AssignmentCounts, goesOn, mayBecome } from './assignment-state.js';
import { nextStep } from './evaluation.js';
import type { RolloutFacts, WaveFacts } from './rollout-facts.js';
import { PAUSE_REASONS, ROLLOUT_STATES } from './rollout-state.js';
import { WAVE_STATES } from './wave-state.js';

const NOW = new Date('2027-01-01T12:00:00.000Z');

const instants = fc
  .integer({ min: 0, max: 1_200 })
  .map((seconds) => new Date(NOW.getTime() - seconds * 1_000));
const counts = fc.record(
  Object.fromEntries(ASSIGNMENT_STATES.map((state) => [state, fc.integer({ min: 0, max: 3 })])),
) as unknown as fc.Arbitrary<AssignmentCounts>;
const shares = fc.integer({ min: 0, max: 100 });

const waves: fc.Arbitrary<WaveFacts> = fc.record({
  name: fc.constantFrom('canary', 'rest'),
  state: fc.constantFrom(...WAVE_STATES),
  dependsOn: fc.constantFrom([], ['canary']),
  requiresApproval: fc.boolean(),
  isApproved: fc.boolean(),
  plannedMembers: fc.integer({ min: 0, max: 20 }),
  soakSeconds: fc.integer({ min: 0, max: 600 }),
  soakedMs: fc.integer({ min: 0, max: 600_000 }),
  soakingSince: fc.option(instants),
  counts,
  acknowledged: fc.record({ failures: fc.integer({ min: 0, max: 3 }), accepted: fc.boolean() }),
});

const facts: fc.Arbitrary<RolloutFacts> = fc.record({
  state: fc.constantFrom(...ROLLOUT_STATES),
  pauseReason: fc.constantFrom(null, ...PAUSE_REASONS),
  now: fc.constant(NOW),
  thresholds: fc.record({
    successThresholdPercent: shares,
    failureThresholdPercent: shares,
    minEvidence: fc.integer({ min: 1, max: 3 }),
  }),
  maxUnavailable: fc.integer({ min: 1, max: 4 }),
  progressDeadlineSeconds: fc.integer({ min: 1, max: 1_200 }),
  autoRollback: fc.boolean(),
  downgradePossible: fc.boolean(),
  isBlocked: fc.boolean(),
  windowOpen: fc.boolean(),
  runningSince: instants,
  lastProgressAt: instants,
  slots: fc.record({ held: fc.integer({ min: 0, max: 4 }), stuck: fc.integer({ min: 0, max: 4 }) }),
  waves: fc.array(waves, { minLength: 1, maxLength: 3 }),
  leadsOn: fc.boolean(),
  held: fc.constantFrom([], ['canary']),
  openBack: fc.integer({ min: 0, max: 2 }),
  onBadVersion: fc.integer({ min: 0, max: 2 }),
});

const pairs = ASSIGNMENT_STATES.flatMap((from) => ASSIGNMENT_STATES.map((to) => [from, to] as const)).filter(
  ([from, to]) => goesOn(from, to) && mayBecome(from, to),
);

function moved(known: RolloutFacts, [from, to]: (typeof pairs)[number]): RolloutFacts {
  const [first, ...rest] = known.waves as [WaveFacts, ...WaveFacts[]];
  const after = { ...first.counts, [from]: first.counts[from] - 1, [to]: first.counts[to] + 1 };
  return { ...known, waves: [{ ...first, counts: after }, ...rest] };
}

it('nodes that go on with what they were let go for change nothing in what their rollout does next', () => {
  expect(pairs.map((pair) => pair.join(' > '))).toEqual(['granted > applying', 'applying > health']);
  fc.assert(
    fc.property(facts, fc.constantFrom(...pairs), (known, pair) => {
      fc.pre((known.waves[0]?.counts[pair[0]] ?? 0) > 0);
      expect(nextStep(moved(known, pair))).toEqual(nextStep(known));
    }),
    { numRuns: 2_000 },
  );
});
