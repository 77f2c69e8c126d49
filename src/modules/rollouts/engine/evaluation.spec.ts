import { describe, expect, it } from '@jest/globals';
import { ago, facts, inWave, members, wave } from '../../../../test/support/rollouts/facts.js';
import { nextStep } from './evaluation.js';
import type { RolloutFacts, WaveFacts } from './rollout-facts.js';

const soaking = (seconds: number): Partial<WaveFacts> => ({
  state: 'soaking',
  soakingSince: ago(seconds),
});

describe('the next step', () => {
  it.each<[string, Partial<RolloutFacts>, [string, string | null] | null]>([
    ['soaks a wave that has proved the version', {}, ['soaking', null]],
    [
      'waits for nodes that an emergency pin holds where the others have not proved the version',
      { held: ['canary'], ...inWave({ counts: members({ deferred: 10 }) }) },
      null,
    ],
    ['goes on without them where they have', { held: ['canary'] }, ['soaking', null]],
    [
      'does not wait where too many have failed',
      { held: ['canary'], ...inWave({ counts: members({ failed: 3, deferred: 7 }) }) },
      ['paused', 'error_threshold'],
    ],
    [
      'does not end before they have had their turn',
      { held: ['canary'], ...inWave({ state: 'done', counts: members({ ok: 9, deferred: 1 }) }) },
      null,
    ],
    [
      'ends without those that were away',
      inWave({ state: 'done', counts: members({ ok: 9, deferred: 1 }) }),
      ['succeeded_with_deferred', null],
    ],
    ['leads on while an emergency pin decides', { leadsOn: true }, null],
    [
      'begins for it where nothing was planned',
      { leadsOn: true, ...inWave({ state: 'gated', plannedMembers: 0, counts: members({}) }) },
      ['active', null],
    ],
    [
      'pauses for it at too many failures',
      { leadsOn: true, ...inWave({ counts: members({ failed: 2, planned: 8 }) }) },
      ['paused', 'error_threshold'],
    ],
    ['waits for open nodes', inWave({ counts: members({ ok: 9, health: 1 }) }), null],
    [
      'allows failures, rounded down',
      inWave({ counts: members({ ok: 9, failed: 1 }) }),
      ['paused', 'success_threshold_missed'],
    ],
    [
      'stops at one failure more, before all are done',
      inWave({ counts: members({ failed: 2, planned: 8 }) }),
      ['paused', 'error_threshold'],
    ],
    [
      'goes back by itself where it may',
      { autoRollback: true, ...inWave({ counts: members({ lost: 2, planned: 8 }) }) },
      ['rolling_back', 'error_threshold'],
    ],
    [
      'says so where it cannot go back',
      { autoRollback: true, downgradePossible: false, ...inWave({ counts: members({ fenced: 2, ok: 8 }) }) },
      ['paused', 'irreversible_migration'],
    ],
    [
      'needs successes, rounded up',
      {
        thresholds: { successThresholdPercent: 95, failureThresholdPercent: 50, minEvidence: 1 },
        ...inWave({ counts: members({ ok: 9, failed: 1 }) }),
      },
      ['paused', 'success_threshold_missed'],
    ],
    [
      'learns nothing from a wave that is away',
      inWave({ counts: members({ deferred: 10 }) }),
      ['paused', 'no_evidence'],
    ],
    [
      'wants as many proofs as were asked for',
      {
        thresholds: { successThresholdPercent: 50, failureThresholdPercent: 0, minEvidence: 3 },
        ...inWave({ counts: members({ ok: 2, deferred: 8 }) }),
      },
      ['paused', 'no_evidence'],
    ],
    [
      'goes on with what was acknowledged',
      inWave({ counts: members({ ok: 1, failed: 9 }), acknowledged: { failures: 9, accepted: true } }),
      ['soaking', null],
    ],
    [
      'stops again at one failure more than was acknowledged',
      inWave({ counts: members({ ok: 1, failed: 9 }), acknowledged: { failures: 8, accepted: true } }),
      ['paused', 'error_threshold'],
    ],
    ['lets it soak for its time', inWave(soaking(59)), null],
    ['is done with it after its time', inWave(soaking(60)), ['done', null]],
    ['counts no time of a pause', { runningSince: ago(30), ...inWave(soaking(600)) }, null],
    [
      'remembers what it soaked before the pause',
      { runningSince: ago(30), ...inWave({ ...soaking(600), soakedMs: 30_000 }) },
      ['done', null],
    ],
    [
      'stops for what turns bad while it soaks',
      inWave({ ...soaking(600), counts: members({ ok: 8, rolled_back: 2 }) }),
      ['paused', 'error_threshold'],
    ],
    [
      'stops for what turns bad after that',
      {
        waves: [wave({ state: 'done', counts: members({ ok: 8, rolled_back: 2 }) }), wave({ name: 'rest' })],
      },
      ['paused', 'error_threshold'],
    ],
    [
      'stops when nothing moves',
      {
        lastProgressAt: ago(601),
        runningSince: ago(900),
        ...inWave({ counts: members({ offered: 1, ok: 9 }) }),
      },
      ['paused', 'progress_deadline'],
    ],
    [
      'lets nothing move while the window is shut',
      {
        windowOpen: false,
        lastProgressAt: ago(601),
        runningSince: ago(900),
        ...inWave({ counts: members({ offered: 1, ok: 9 }) }),
      },
      null,
    ],
    [
      'stops when the lost hold all slots',
      {
        slots: { held: 2, stuck: 2 },
        thresholds: { successThresholdPercent: 50, failureThresholdPercent: 50, minEvidence: 1 },
        ...inWave({ counts: members({ lost: 2, offered: 8 }) }),
      },
      ['paused', 'slots_exhausted'],
    ],
    [
      'goes on while one slot can come back',
      { slots: { held: 2, stuck: 1 }, ...inWave({ counts: members({ lost: 1, health: 1, offered: 8 }) }) },
      null,
    ],
    ['goes back from a blocked version', { isBlocked: true }, ['rolling_back', 'version_blocked']],
    [
      'goes back from it out of a pause, too',
      { isBlocked: true, state: 'paused' },
      ['rolling_back', 'version_blocked'],
    ],
    [
      'pauses where it cannot go back from it',
      { isBlocked: true, downgradePossible: false },
      ['paused', 'blocked'],
    ],
    [
      'says so of one that is paused already',
      { state: 'paused', pauseReason: 'operator', isBlocked: true, downgradePossible: false },
      ['paused', 'blocked'],
    ],
    [
      'says it once',
      { state: 'paused', pauseReason: 'blocked', isBlocked: true, downgradePossible: false },
      null,
    ],
    [
      'opens a gate when all before it are done',
      {
        waves: [
          wave({ state: 'done' }),
          wave({ name: 'b', state: 'pending', dependsOn: ['canary'], counts: members({ planned: 5 }) }),
        ],
      },
      ['gated', null],
    ],
    [
      'waits for all of them',
      {
        waves: [
          wave({ state: 'done' }),
          wave({ name: 'a', ...soaking(1) }),
          wave({ name: 'b', state: 'pending', dependsOn: ['canary', 'a'] }),
        ],
      },
      null,
    ],
    ['waits at a gate for its approval', inWave({ state: 'gated', requiresApproval: true }), null],
    [
      'passes an approved gate',
      inWave({ state: 'gated', requiresApproval: true, isApproved: true }),
      ['active', null],
    ],
    ['waits at a gate for the window', { windowOpen: false, ...inWave({ state: 'gated' }) }, null],
    [
      'passes over a wave that the plan left empty',
      inWave({ state: 'gated', plannedMembers: 0, counts: members({}) }),
      ['done', null],
    ],
    ['is over when all waves are', inWave({ state: 'done' }), ['succeeded', null]],
    [
      'is over without those that were away',
      inWave({ state: 'done', counts: members({ ok: 9, deferred: 1 }) }),
      ['succeeded_with_deferred', null],
    ],
    [
      'waits for those that have come back',
      inWave({ state: 'done', counts: members({ ok: 9, planned: 1 }) }),
      null,
    ],
    ['does nothing in a pause', { state: 'paused', ...inWave({ counts: members({ failed: 9 }) }) }, null],
    [
      'is back when nobody has the version',
      { state: 'rolling_back', onBadVersion: 0, openBack: 0 },
      ['rolled_back', null],
    ],
    ['waits for those that go back', { state: 'rolling_back', onBadVersion: 2, openBack: 2 }, null],
    [
      'stalls when nobody is left who could',
      { state: 'rolling_back', onBadVersion: 1, openBack: 0 },
      ['rollback_stalled', 'last_known_good_missing'],
    ],
    [
      'stalls when nothing moves back',
      {
        state: 'rolling_back',
        onBadVersion: 1,
        openBack: 1,
        lastProgressAt: ago(601),
        runningSince: ago(900),
      },
      ['rollback_stalled', 'progress_deadline'],
    ],
  ])('%s', (_, change, expected) => {
    const step = nextStep(facts(change));
    const reason = step?.kind === 'rollout' ? step.reason : null;
    expect(step === null ? null : [step.to, reason]).toEqual(expected);
  });
});
