import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { BACKOFF_CAP_MS, backoffMs, jitteredMs, retryMs, unchangedMs } from './backoff.js';

const attempts = fc.nat({ max: 5_000 });
const randoms = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });

describe('back-off', () => {
  it('stays between zero and the cap, also after thousands of attempts', () => {
    fc.assert(
      fc.property(attempts, randoms, (attempt, random) => {
        const ms = backoffMs(attempt, random);
        expect(Number.isInteger(ms) && ms >= 0 && ms < BACKOFF_CAP_MS).toBe(true);
      }),
    );
  });

  it('never waits less on average after one more failure', () => {
    fc.assert(
      fc.property(attempts, randoms, (attempt, random) => {
        expect(backoffMs(attempt + 1, random)).toBeGreaterThanOrEqual(backoffMs(attempt, random));
      }),
    );
  });

  it('spreads over the whole range, so that a herd does not return as one', () => {
    expect(backoffMs(3, 0)).toBe(0);
    expect(backoffMs(3, 0.5)).toBe(2_000);
    expect(backoffMs(3, 0.9999)).toBe(3_999);
    expect(backoffMs(30, 0.5)).toBe(30_000);
  });

  it('waits at least as long as the server asked, up to ten minutes', () => {
    fc.assert(
      fc.property(attempts, randoms, fc.nat({ max: 1_000_000 }), (attempt, random, asked) => {
        const ms = retryMs(attempt, asked, random);
        expect(ms).toBeGreaterThanOrEqual(Math.min(asked, 600) * 1_000);
        expect(ms).toBeLessThan(600_000 + BACKOFF_CAP_MS);
      }),
    );
    expect(retryMs(0, null, 0)).toBe(0);
  });

  it.each([
    [
      'asks again at once after an answer that was held',
      { askedSeconds: null, wasHeld: true, attempt: 0 },
      0,
      0,
    ],
    ['backs off from one that came at once', { askedSeconds: null, wasHeld: false, attempt: 3 }, 0, 4_000],
    ['comes back when it is told, held or not', { askedSeconds: 7, wasHeld: true, attempt: 0 }, 7_000, 7_500],
    [
      'comes back no earlier when it backs off, too',
      { askedSeconds: 7, wasHeld: false, attempt: 3 },
      7_000,
      11_000,
    ],
  ])('%s', (_, unchanged, least, most) => {
    expect([unchangedMs(unchanged, 0), unchangedMs(unchanged, 1)]).toEqual([least, most]);
  });

  it('keeps a jittered interval within a tenth of the interval', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 3_600 }), randoms, (seconds, random) => {
        const ms = jitteredMs(seconds, random);
        expect(ms).toBeGreaterThanOrEqual(seconds * 900);
        expect(ms).toBeLessThanOrEqual(seconds * 1_100);
      }),
    );
  });
});
