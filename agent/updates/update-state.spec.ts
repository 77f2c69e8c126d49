import { describe, expect, it } from '@jest/globals';
import * as fc from 'fast-check';
import {
  DISRUPTED_STATES,
  HELD_STATES,
  type Move,
  NEXT_UPDATE_STATES,
  nextMove,
  type Progress,
  UPDATE_STATES,
  type UpdateState,
  type Wanted,
  wayToIdle,
} from './update-state.js';

const IDENTITY = { assignmentId: 'a', epoch: 3, toVersion: '2.0.0', sha256: 'f' };
const known = (state: UpdateState, isReady = false): Progress => ({ ...IDENTITY, state, isReady });
const offered: Wanted = { ...IDENTITY, isGranted: false };
const granted: Wanted = { ...IDENTITY, isGranted: true };
const other: Wanted = { ...IDENTITY, assignmentId: 'b', isGranted: true };
const unfenced: Wanted = { ...other, epoch: 4 };
const WANTS: readonly (Wanted | null)[] = [null, offered, granted, other, unfenced];

/** Written out by hand: what follows in each state when nothing, the same (offered, granted), or another is wanted. */
const MOVES: Record<UpdateState, readonly Move[]> = {
  idle: ['rest', 'rest', 'rest', 'begin', 'begin'],
  checking: ['withdraw', 'go_on', 'go_on', 'withdraw', 'withdraw'],
  downloading: ['withdraw', 'go_on', 'go_on', 'withdraw', 'withdraw'],
  verifying: ['withdraw', 'go_on', 'go_on', 'withdraw', 'withdraw'],
  staging: ['withdraw', 'go_on', 'go_on', 'withdraw', 'withdraw'],
  migrating: ['go_on', 'go_on', 'go_on', 'go_on', 'go_on'],
  starting: ['go_on', 'go_on', 'go_on', 'go_on', 'go_on'],
  health_checking: ['go_on', 'go_on', 'go_on', 'go_on', 'go_on'],
  promoting: ['go_on', 'go_on', 'go_on', 'go_on', 'go_on'],
  running: ['rest', 'rest', 'rest', 'begin', 'begin'],
  rollback_required: ['go_on', 'go_on', 'go_on', 'go_on', 'go_on'],
  rolling_back: ['go_on', 'go_on', 'go_on', 'go_on', 'go_on'],
  rolled_back: ['rest', 'rest', 'rest', 'begin', 'begin'],
  failed: ['rest', 'rest', 'rest', 'begin', 'begin'],
  fenced: ['rest', 'rest', 'rest', 'rest', 'begin'],
};

describe('an update of a node', () => {
  it.each(UPDATE_STATES)('that is %s moves as it must, whatever is wanted', (state) => {
    expect(WANTS.map((wanted) => nextMove(known(state), wanted))).toEqual(MOVES[state]);
  });

  it('begins where there was none, and waits for its grant once it is ready', () => {
    expect(nextMove(null, null)).toBe('rest');
    expect(nextMove(null, offered)).toBe('begin');
    expect(nextMove(known('staging', true), offered)).toBe('rest');
    expect(nextMove(known('staging', true), granted)).toBe('go_on');
  });

  it.each<[string, Partial<Wanted>]>([
    ['another epoch', { epoch: 4 }],
    ['another version', { toVersion: '2.0.1' }],
    ['other bytes', { sha256: 'e' }],
  ])('is another one with %s', (_, change) => {
    expect(nextMove(known('staging', true), { ...granted, ...change })).toBe('withdraw');
  });

  it('becomes idle by edges that there are, as long as nothing has happened', () => {
    const cancellable = ['checking', 'downloading', 'verifying', 'staging'] as const;
    for (const state of cancellable) {
      const way = [state, ...wayToIdle(state)];
      expect(way.at(-1)).toBe('idle');
      for (const [index, next] of way.slice(1).entries())
        expect(NEXT_UPDATE_STATES[way[index] as UpdateState]).toContain(next);
    }
  });

  it('never stops out of service, however it is told about: it goes on from every such state to one at rest', () => {
    const wanted = fc.constantFrom(...WANTS);
    void fc.assert(
      fc.property(
        fc.constantFrom(...DISRUPTED_STATES),
        fc.infiniteStream(wanted),
        fc.nat(),
        (from, wants, choice) => {
          let state: UpdateState = from;
          let steps = 0;
          for (const want of wants) {
            if (nextMove(known(state, true), want) !== 'go_on') break;
            const next = NEXT_UPDATE_STATES[state];
            state = next[choice % next.length] ?? state;
            steps += 1;
            if (!DISRUPTED_STATES.includes(state)) break;
          }
          expect(['running', 'rolled_back', 'fenced']).toContain(state);
          expect(steps).toBeLessThanOrEqual(DISRUPTED_STATES.length);
        },
      ),
    );
  });

  it('keeps the service at rest only where it is out of service, or fenced', () => {
    for (const state of HELD_STATES) expect([...DISRUPTED_STATES, 'fenced']).toContain(state);
  });
});
