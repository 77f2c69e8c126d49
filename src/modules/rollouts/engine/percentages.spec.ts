import { describe, expect, it } from '@jest/globals';
import * as fc from 'fast-check';
import { countStates } from './assignment-state.js';
import { percentRoundedDown, percentRoundedUp } from './percentages.js';
import { evidenceOf } from './verdict.js';
import { shareOut } from './wave-shares.js';

describe('a percentage', () => {
  it('is taken of a number exactly, with as many decimals as it has', () => {
    const decimals = fc.integer({ min: 0, max: 6 });
    void fc.assert(
      fc.property(decimals, fc.nat(100_000_000), fc.nat(200_000), (places, digits, count) => {
        const scale = 10 ** places;
        fc.pre(digits <= 100 * scale);
        const [part, whole] = [BigInt(digits) * BigInt(count), BigInt(100 * scale)];
        expect(percentRoundedDown(digits / scale, count)).toBe(Number(part / whole));
        expect(percentRoundedUp(digits / scale, count)).toBe(
          Number(part / whole + (part % whole > 0n ? 1n : 0n)),
        );
      }),
    );
  });

  it.each<[number, number, number, number]>([
    [16.1, 1_000, 161, 161],
    [32.3, 1_000, 323, 323],
    [99.9, 1_000, 999, 999],
    [33.3, 100, 33, 34],
    [0, 1_000, 0, 0],
    [100, 7, 7, 7],
    [1e-7, 200_000, 0, 1],
    [50, 0, 0, 0],
  ])('%d of %d is %d, or %d rounded up', (percent, count, down, up) => {
    expect([percentRoundedDown(percent, count), percentRoundedUp(percent, count)]).toEqual([down, up]);
  });

  it('decides how large a wave is, and how much may fail in it', () => {
    const fleet = Array.from({ length: 1_000 }, (_, index) => ({
      nodeId: String(index),
      platform: 'linux/x64',
    }));
    const [wave] = shareOut(fleet, [{ kind: 'percent', percent: 16.1 }]);
    expect(wave).toHaveLength(161);
    const thresholds = { successThresholdPercent: 16.1, failureThresholdPercent: 32.3, minEvidence: 1 };
    const evidence = evidenceOf(countStates(fleet.map(() => 'ok')), thresholds);
    expect([evidence.neededSuccesses, evidence.allowedFailures]).toEqual([161, 323]);
  });
});
