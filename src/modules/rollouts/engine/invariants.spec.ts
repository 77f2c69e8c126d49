import { describe, expect, it } from '@jest/globals';
import * as fc from 'fast-check';
import { BrokenInvariant } from '../../../../test/support/rollouts/broken-invariant.js';
import { histories, live, setups } from '../../../../test/support/rollouts/history.js';
import { RULES, type Rules } from './rules.js';
import { mayGrant } from './slots.js';

/** Set it higher for a night: it was held against 20,000. */
const HISTORIES = Number(process.env.FABRIC_TEST_ROLLOUT_HISTORIES ?? 1_000);

/** Mistakes that others have made, each in the place of the rule that avoids it, and the invariants that it breaks. */
const MISTAKES: [string, Partial<Rules>, string[]][] = [
  ['a wave that is complete goes on', { verdictOf: ({ open }) => (open > 0 ? 'open' : 'passed') }, ['I8']],
  [
    'a node that is lost gives its slot back',
    { keepsSlot: (state) => state !== 'lost' && RULES.keepsSlot(state) },
    ['I1'],
  ],
  [
    'going back ignores maxUnavailable',
    {
      freeSlots: (held, max, direction) => (direction === 'back' ? 1 : RULES.freeSlots(held, max, direction)),
    },
    ['I1'],
  ],
  [
    'only the tick looks at blocks',
    { mayGrant: (facts) => mayGrant({ ...facts, isBlocked: false }) },
    ['I6'],
  ],
  [
    'a pause does not stop grants',
    {
      mayGrant: (facts) =>
        mayGrant(facts.rolloutState === 'paused' ? { ...facts, rolloutState: 'running' } : facts),
    },
    ['I7'],
  ],
  ['a node is in several waves', { takesPart: () => true }, ['I5']],
  [
    'one dependency is enough',
    { dependenciesDone: (states) => states.length === 0 || states.includes('done') },
    ['I2'],
  ],
];

describe('a rollout, whatever happens', () => {
  it(
    'holds its invariants, and ends where nodes are well and somebody decides',
    () => {
      void fc.assert(
        fc.property(setups, histories, (setup, history) => void live(setup, history, RULES)),
        { numRuns: HISTORIES },
      );
    },
    30_000 + 20 * HISTORIES,
  );

  it.each(MISTAKES)('would be caught at it if %s', (_, mistake, invariants) => {
    const property = fc.property(
      setups,
      histories,
      (setup, history) => void live(setup, history, { ...RULES, ...mistake }),
    );
    const { failed, errorInstance } = fc.check(property, { numRuns: 5_000, endOnFailure: true });
    expect(failed).toBe(true);
    expect(errorInstance).toBeInstanceOf(BrokenInvariant);
    expect(invariants).toContain((errorInstance as BrokenInvariant).invariant);
  });
});
