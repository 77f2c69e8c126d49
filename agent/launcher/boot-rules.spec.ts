import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import {
  type BootRecord,
  FIRST_RECORD,
  freeSlot,
  type SlotName,
  type SwitchOrder,
  slotToRun,
} from './boot-record.js';
import { afterEvent, type BootEvent, MAX_ROUNDS, MAX_STARTS } from './boot-rules.js';

const order: SwitchOrder = { orderId: 'o1', slot: 'b', agentVersion: '2.0.0' };
const atRest: BootRecord = { ...FIRST_RECORD, current: 'a' };

const ordered: BootEvent = { kind: 'ordered', order };
const starting: BootEvent = { kind: 'starting' };
const silent: BootEvent = { kind: 'silent' };
const unusable: BootEvent = { kind: 'unusable', detail: 'no main.js' };
const crashed: BootEvent = { kind: 'ended', how: 'ended with exit code 1' };
const old: BootEvent = { kind: 'checked_in', agentVersion: '1.0.0' };
const fresh: BootEvent = { kind: 'checked_in', agentVersion: '2.0.0' };
const times = (count: number, ...items: BootEvent[]): BootEvent[] =>
  Array.from({ length: count }, () => items).flat();

function seen(...events: BootEvent[]): BootRecord {
  return events.reduce(afterEvent, atRest);
}

/** The end of a trial, as one line. */
function outcome({ current, trial, last }: BootRecord): string {
  return trial !== null ? `${trial.phase} ${trial.round}` : `${last?.outcome} ${current}: ${last?.reason}`;
}

describe('a new agent', () => {
  it.each<[string, BootEvent[], string]>([
    ['checks in', [starting, fresh], 'confirmed b: null'],
    ['checks in at its last start', [...times(2, starting, crashed), starting, fresh], 'confirmed b: null'],
    [
      'crashes every time',
      [...times(MAX_STARTS, starting, crashed), starting],
      'reverted a: it was started 3 times and did not check in; at last it ended with exit code 1',
    ],
    [
      'is cut off with its host every time',
      [...times(MAX_STARTS, starting), starting],
      'reverted a: it was started 3 times and did not check in',
    ],
    ['is another version', [starting, old], 'reverted a: it says that it is version 1.0.0'],
    ['is not there', [starting, unusable], 'reverted a: no main.js'],
    ['is silent', [starting, silent], 'comparing 1'],
    [
      'is silent, and the one before it is not',
      [starting, silent, starting, old],
      'reverted a: it did not check in; the one before it did, right after',
    ],
    ['is silent in an outage', [starting, silent, starting, silent], 'waiting 1'],
    ['is tried again after an outage', [starting, silent, starting, silent, old], 'trying 2'],
    [
      'checks in after an outage',
      [starting, silent, starting, silent, old, starting, fresh],
      'confirmed b: null',
    ],
    [
      'is silent in every round',
      [...times(MAX_ROUNDS, starting, silent, starting, silent, old)],
      'reverted a: it did not check in in 3 rounds, with an outage in each',
    ],
  ])('%s', (_, events, expected) => {
    expect(outcome(seen(ordered, ...events))).toBe(expected);
  });

  it('is not blamed for crashes of the one before it', () => {
    const record = seen(ordered, starting, silent, ...times(9, starting, crashed));
    expect(outcome(record)).toBe('comparing 1');
  });

  it('does not come again by an order that was carried out', () => {
    const reverted = seen(ordered, starting, old);
    expect(afterEvent(reverted, ordered)).toBe(reverted);
    const confirmed = seen(ordered, starting, fresh);
    expect(afterEvent(confirmed, ordered)).toBe(confirmed);
  });

  it('does not take the place of one that is on trial', () => {
    const record = seen(ordered, starting);
    expect(afterEvent(record, { kind: 'ordered', order: { ...order, orderId: 'o2', slot: 'a' } })).toBe(
      record,
    );
  });
});

it('falls back to the installed agent when the current one is gone', () => {
  expect(slotToRun(seen(unusable))).toBe('installed');
  expect(outcome(seen(ordered, starting, silent, unusable))).toBe('comparing 1');
  expect(slotToRun(seen(ordered, starting, silent, unusable))).toBe('installed');
});

it.each<[SlotName, string]>([
  ['installed', 'a'],
  ['a', 'b'],
  ['b', 'a'],
])('an agent in %s is updated in %s', (current, slot) => {
  expect(freeSlot({ ...FIRST_RECORD, current })).toBe(slot);
});

it('gives no slot away during a trial', () => expect(freeSlot(seen(ordered))).toBeNull());

const anyEvent = fc.constantFrom(starting, silent, unusable, crashed, old, fresh, ordered);
const anyEvents = fc.array(anyEvent, { maxLength: 60 });

it('keeps the good agent until the new one has checked in, whatever happens', () => {
  fc.assert(
    fc.property(anyEvents, (events) => {
      let record = atRest;
      for (const event of [ordered, ...events]) {
        const next = afterEvent(record, event);
        if (next.current === 'b' && record.current !== 'b') {
          expect(event).toBe(fresh);
          expect(record.trial?.phase).toBe('trying');
        }
        expect([next.current, next.trial?.slot]).toContain(slotToRun(next));
        expect(next.trial?.starts ?? 0).toBeLessThanOrEqual(MAX_STARTS);
        expect(next.trial?.round ?? 1).toBeLessThanOrEqual(MAX_ROUNDS);
        record = next;
      }
    }),
  );
});

it('never ends a trial by an outage alone', () => {
  const inOutage = fc.array(fc.constantFrom(silent, ordered), { maxLength: 60 });
  fc.assert(
    fc.property(inOutage, (events) => {
      const record = [ordered, starting, ...events].reduce(afterEvent, atRest);
      expect(record.last).toBeNull();
    }),
  );
});

it('ends every trial once the control plane answers', () => {
  fc.assert(
    fc.property(anyEvents, (events) => {
      let record = [ordered, ...events].reduce(afterEvent, atRest);
      // From here on whoever runs is the old one, or never gets as far as to check in.
      for (let round = 0; record.trial !== null; round++) {
        expect(round).toBeLessThan(MAX_STARTS * MAX_ROUNDS + MAX_ROUNDS);
        const isNew = record.trial.phase === 'trying';
        record = [starting, ...(isNew ? [crashed] : [old])].reduce(afterEvent, record);
      }
      expect(record.last?.orderId).toBe('o1');
    }),
  );
});
