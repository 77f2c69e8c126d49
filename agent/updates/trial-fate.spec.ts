import { describe, expect, it } from '@jest/globals';
import { type BootRecord, FIRST_RECORD, type SlotName } from '../launcher/boot-record.js';
import { type TrialFate, trialFate, trialMove } from './trial-fate.js';
import { NEXT_UPDATE_STATES, type UpdateState } from './update-state.js';

const order = { orderId: 'o1', slot: 'b', agentVersion: '2.0.0' } as const;
const trial = { ...order, phase: 'trying', starts: 1, round: 1, lastEnding: null } as const;
const last = { ...order, outcome: 'confirmed', reason: null } as const;
const record = (change: Partial<BootRecord>): BootRecord => ({ ...FIRST_RECORD, current: 'a', ...change });

describe('the fate of a trial', () => {
  it.each<[string, BootRecord | null, SlotName, TrialFate]>([
    ['not ordered yet', record({}), 'a', { kind: 'unknown' }],
    ['a record that nobody can read', null, 'a', { kind: 'unknown' }],
    ['the trial of another update', record({ trial: { ...trial, orderId: 'o2' } }), 'a', { kind: 'unknown' }],
    ['the end of another update', record({ last: { ...last, orderId: 'o2' } }), 'a', { kind: 'unknown' }],
    ['this agent is on trial', record({ trial }), 'b', { kind: 'own' }],
    [
      'this agent is compared with it',
      record({ trial: { ...trial, phase: 'comparing' } }),
      'a',
      { kind: 'undecided' },
    ],
    ['confirmed', record({ last }), 'b', { kind: 'confirmed' }],
    [
      'taken back',
      record({ last: { ...last, outcome: 'reverted', reason: 'why' } }),
      'a',
      { kind: 'reverted', reason: 'why' },
    ],
  ])('%s', (_, known, slot, fate) => {
    expect(trialFate(known, 'o1', slot)).toEqual(fate);
  });
});

const FATES: Record<string, TrialFate> = {
  unknown: { kind: 'unknown' },
  own: { kind: 'own' },
  undecided: { kind: 'undecided' },
  confirmed: { kind: 'confirmed' },
  reverted: { kind: 'reverted', reason: 'why' },
};
const STATES = ['starting', 'health_checking', 'promoting', 'rollback_required', 'rolling_back'] as const;

/** What follows, by hand: for each state the five fates in their order. */
const EXPECTED: Record<(typeof STATES)[number], readonly string[]> = {
  starting: ['order', 'health_checking', 'wait', 'health_checking', 'rollback_required'],
  health_checking: ['rollback_required', 'wait', 'wait', 'promoting', 'rollback_required'],
  promoting: ['rollback_required', 'wait', 'wait', 'running', 'rollback_required'],
  rollback_required: Array(5).fill('rolling_back'),
  rolling_back: Array(5).fill('rolled_back'),
};

it.each(STATES)('%s goes on by edges that there are, as the trial went', (state: UpdateState) => {
  const moves = Object.values(FATES).map((fate) => trialMove(state, fate, null));
  expect(moves.map((move) => (move.kind === 'enter' ? move.state : move.kind))).toEqual(
    EXPECTED[state as (typeof STATES)[number]],
  );
  for (const move of moves)
    if (move.kind === 'enter') expect(NEXT_UPDATE_STATES[state]).toContain(move.state);
});

it('tells why it was taken back, to the end', () => {
  const first = trialMove('starting', { kind: 'reverted', reason: 'why' }, null);
  expect(first).toMatchObject({ message: 'why' });
  expect(trialMove('rollback_required', { kind: 'unknown' }, 'why')).toMatchObject({ message: 'why' });
  expect(trialMove('rolling_back', { kind: 'unknown' }, 'why')).toMatchObject({ message: 'why' });
});
