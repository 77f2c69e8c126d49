import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import type { RestartPolicy } from '../snapshot-workload.js';
import { attemptsAfter, restartDelayMs } from './restart-policy.js';

const seconds = fc.double({ min: 0, max: 1e6, noNaN: true });
const policies: fc.Arbitrary<RestartPolicy> = fc.record({
  mode: fc.constantFrom('always', 'on_failure', 'never'),
  initialDelaySeconds: seconds,
  maxDelaySeconds: seconds,
  resetAfterSeconds: seconds,
});
const attempts = fc.nat({ max: 5_000 });
const policy = (initialDelaySeconds: number, maxDelaySeconds: number): RestartPolicy => ({
  mode: 'always',
  initialDelaySeconds,
  maxDelaySeconds,
  resetAfterSeconds: 60,
});

describe('the delay before a restart', () => {
  it('lies between the initial and the longest one, also after thousands of attempts', () => {
    fc.assert(
      fc.property(policies, attempts, (given, attempt) => {
        const initial = Math.max(100, given.initialDelaySeconds * 1_000);
        const delay = restartDelayMs(given, attempt);
        expect(delay).toBeGreaterThanOrEqual(initial);
        expect(delay).toBeLessThanOrEqual(Math.max(initial, 1_000, given.maxDelaySeconds * 1_000));
      }),
    );
  });

  it('never shrinks from one attempt to the next', () => {
    fc.assert(
      fc.property(policies, attempts, (given, attempt) => {
        expect(restartDelayMs(given, attempt + 1)).toBeGreaterThanOrEqual(restartDelayMs(given, attempt));
      }),
    );
  });

  it.each<[RestartPolicy, number[]]>([
    [policy(1, 8), [1_000, 2_000, 4_000, 8_000, 8_000]],
    [policy(5, 5), [5_000, 5_000, 5_000]],
    [policy(10, 1), [10_000, 10_000]],
    [policy(0, 0), [100, 200, 400, 800, 1_000, 1_000]],
  ])('doubles up to the longest one: %j', (given, delays) => {
    expect(delays.map((_, attempt) => restartDelayMs(given, attempt))).toEqual(delays);
  });

  it('is the first again exactly when the process has lasted long enough', () => {
    expect(attemptsAfter(policy(1, 8), 7, 59_999)).toBe(7);
    expect(attemptsAfter(policy(1, 8), 7, 60_000)).toBe(0);
  });
});
