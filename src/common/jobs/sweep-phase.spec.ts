import { describe, expect, it } from '@jest/globals';
import { sweepPhaseMs } from './sweep-phase.js';

/** Those that come most often. */
const SWEEPS: [queue: string, name: string, everySeconds: number][] = [
  ['rollouts', 'rollout-tick', 5],
  ['rollouts', 'lease-handovers', 5],
  ['nodes', 'health', 10],
  ['nodes', 'partitions', 10],
];

describe('the phase of a sweep', () => {
  it.each([1, 2, 500, 5_000, 86_400_000])('lies within an interval of %i ms, and is never none', (every) => {
    const phases = Array.from({ length: 200 }, (_, nth) => sweepPhaseMs('queue', `sweep-${nth}`, every));
    expect(Math.min(...phases)).toBeGreaterThanOrEqual(1);
    expect(Math.max(...phases)).toBeLessThanOrEqual(Math.max(1, every - 1));
  });

  it('is the same wherever it is asked for, and another for another sweep', () => {
    const phases = SWEEPS.map(([queue, name, seconds]) => sweepPhaseMs(queue, name, seconds * 1_000));
    expect(SWEEPS.map(([queue, name, seconds]) => sweepPhaseMs(queue, name, seconds * 1_000))).toEqual(
      phases,
    );
    expect(new Set(phases).size).toBe(SWEEPS.length);
  });
});
