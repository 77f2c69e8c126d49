import { describe, expect, it } from '@jest/globals';
import { facts, inWave, members } from '../../../../test/support/rollouts/facts.js';
import { resumption } from './resumption.js';
import type { RolloutFacts } from './rollout-facts.js';

describe('a paused rollout', () => {
  const failed = {
    state: 'paused' as const,
    ...inWave({ counts: members({ ok: 5, failed: 3, planned: 2 }) }),
  };
  it.each<[string, Partial<RolloutFacts>, Parameters<typeof resumption>[1], boolean, string]>([
    ['goes on when an operator had paused it', { state: 'paused' }, 'operator', false, 'resumed'],
    ['goes on when its cause is gone', { state: 'paused' }, 'error_threshold', false, 'resumed'],
    ['stays while its cause is there', failed, 'error_threshold', false, 'not_acknowledged'],
    ['goes on when somebody takes it on', failed, 'error_threshold', true, 'resumed'],
    [
      'stays without slots, whoever takes it on',
      { ...failed, ...inWave({ counts: members({ lost: 1, planned: 9 }) }), slots: { held: 2, stuck: 2 } },
      'slots_exhausted',
      true,
      'not_cleared',
    ],
    ['stays with a blocked version', { state: 'paused', isBlocked: true }, 'blocked', true, 'not_cleared'],
    ['wants a word about a deadline', { state: 'paused' }, 'progress_deadline', false, 'not_acknowledged'],
    ['begins a deadline again', { state: 'paused' }, 'progress_deadline', true, 'resumed'],
    ['is paused by another cause as well', { ...failed, isBlocked: true }, 'operator', true, 'not_cleared'],
  ])('%s', (_, change, reason, isAcknowledged, expected) => {
    expect(resumption(facts(change), reason, isAcknowledged).kind).toBe(expected);
  });

  it('takes on as many failures as there are, and no more', () => {
    const resumed = resumption(facts(failed), 'error_threshold', true);
    expect(resumed).toEqual({
      kind: 'resumed',
      acknowledgements: [{ wave: 'canary', failures: 3, accepted: false }],
    });
  });
});
