import { describe, expect, it } from '@jest/globals';
import * as fc from 'fast-check';
import { type EmergencyPin, type EmergencyPinStatus, emergencyPinStatus, endOf } from './emergency-pin.js';
import { emergencyPinNodes } from './emergency-pin-views.js';
import { ASSIGNMENT_STATES } from './engine/assignment-state.js';

const NOW = new Date('2027-01-01T12:00:00.000Z');
const inSeconds = (seconds: number) => new Date(NOW.getTime() + seconds * 1_000);
type Facts = Pick<EmergencyPin, 'activatedAt' | 'endedAt' | 'endedBecause' | 'expiresAt'>;
const fresh: Facts = { activatedAt: NOW, endedAt: null, endedBecause: null, expiresAt: inSeconds(60) };

describe('the status of an emergency pin', () => {
  it.each<[string, Partial<Facts>, EmergencyPinStatus, Date | null]>([
    ['decides from its activation', {}, 'in_force', null],
    ['waits for its approvals', { activatedAt: null }, 'pending_approval', null],
    ['is over at its instant, whoever has looked', { expiresAt: NOW }, 'expired', NOW],
    [
      'is over at its instant without ever having decided',
      { activatedAt: null, expiresAt: NOW },
      'expired',
      NOW,
    ],
    [
      'stays lifted when its time is over',
      { expiresAt: NOW, endedAt: inSeconds(-5), endedBecause: 'lifted' },
      'lifted',
      inSeconds(-5),
    ],
    ['is ended by a block', { endedAt: NOW, endedBecause: 'blocked' }, 'blocked', NOW],
  ])('%s', (_, change, status, end) => {
    const pin = { ...fresh, ...change };
    expect([emergencyPinStatus(pin, NOW), endOf(pin, NOW)]).toEqual([status, end]);
  });

  it('never comes back to deciding', () => {
    const instant = fc.integer({ min: -100, max: 100 }).map(inSeconds);
    const facts = fc.record({
      activatedAt: fc.option(instant),
      expiresAt: instant,
      end: fc.option(
        fc.record({ at: instant, because: fc.constantFrom('lifted' as const, 'blocked' as const) }),
      ),
    });
    void fc.assert(
      fc.property(facts, instant, fc.nat(200), ({ activatedAt, expiresAt, end }, now, later) => {
        const pin = { activatedAt, expiresAt, endedAt: end?.at ?? null, endedBecause: end?.because ?? null };
        const isOver = endOf(pin, now) !== null;
        expect(isOver).toBe(!['pending_approval', 'in_force'].includes(emergencyPinStatus(pin, now)));
        if (isOver) expect(endOf(pin, new Date(now.getTime() + later * 1_000))).toEqual(endOf(pin, now));
      }),
    );
  });
});

describe('the nodes of an emergency pin', () => {
  it('are counted once each, whatever has become of them', () => {
    const reason = fc.option(fc.constantFrom('already_on_target', 'offline', 'fenced', 'update_in_progress'));
    const row = fc.record({ state: fc.constantFrom(...ASSIGNMENT_STATES), reason, nodes: fc.nat(50) });
    void fc.assert(
      fc.property(fc.array(row), (rows) => {
        const { covered, deferred, ...others } = emergencyPinNodes(rows);
        const sum = (numbers: readonly number[]) => numbers.reduce((total, each) => total + each, 0);
        expect(covered).toBe(sum(rows.map(({ nodes }) => nodes)));
        expect(sum(Object.values(others)) + sum(Object.values(deferred))).toBe(covered);
      }),
    );
  });

  it('have arrived when they had the version, and are deferred by what keeps them', () => {
    const numbers = [
      { state: 'ok', reason: null, nodes: 2 },
      { state: 'skipped', reason: 'already_on_target', nodes: 3 },
      { state: 'skipped', reason: 'fenced', nodes: 1 },
      { state: 'deferred', reason: 'offline', nodes: 4 },
      { state: 'lost', reason: 'node_deadline', nodes: 1 },
      { state: 'planned', reason: null, nodes: 5 },
      { state: 'offered', reason: null, nodes: 6 },
    ] as const;
    expect(emergencyPinNodes(numbers)).toEqual({
      ...{ covered: 22, onVersion: 5, waiting: 5, inProgress: 6, failed: 1 },
      deferred: { fenced: 1, offline: 4 },
    });
  });
});
