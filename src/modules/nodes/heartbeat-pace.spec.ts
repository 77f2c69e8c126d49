import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { nextBeatSeconds } from './heartbeat-pace.js';

const intervals = fc.integer({ min: 1, max: 3_600 });
const instants = fc.date({ min: new Date('2000-01-01'), max: new Date('2100-01-01'), noInvalidDate: true });
const after = (now: Date, seconds: number) => new Date(now.getTime() + seconds * 1000);

describe('the pace of heartbeats', () => {
  it('is about an interval, and settles at the same turn of every interval', () => {
    fc.assert(
      fc.property(fc.uuid(), intervals, instants, (nodeId, interval, now) => {
        const first = nextBeatSeconds(nodeId, interval, now);
        expect(Number.isInteger(first)).toBe(true);
        expect(first).toBeGreaterThanOrEqual(Math.max(1, Math.floor(interval / 2)));
        expect(first).toBeLessThanOrEqual(Math.ceil(interval * 1.5));
        const settled = after(now, first);
        expect(nextBeatSeconds(nodeId, interval, settled)).toBe(interval);
      }),
    );
  });

  it('spreads nodes that came at one instant evenly over the interval', () => {
    const now = new Date('2026-11-23T08:00:00Z');
    const beats = Array.from({ length: 6_000 }, (_, index) => nextBeatSeconds(`node-${index}`, 30, now) % 30);
    const bySecond = Array.from(
      { length: 30 },
      (_, second) => beats.filter((beat) => beat === second).length,
    );
    expect(Math.max(...bySecond)).toBeLessThan(300);
    expect(Math.min(...bySecond)).toBeGreaterThan(120);
  });
});
