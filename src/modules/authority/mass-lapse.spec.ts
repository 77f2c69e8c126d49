import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { findMassLapse, type MassLapse } from './mass-lapse.js';

const start = Date.parse('2026-11-28T12:00:00.000Z');
const at = (...milliseconds: number[]) => milliseconds.map((ms) => new Date(start + ms));
const times = (count: number, milliseconds: number) => at(...Array<number>(count).fill(milliseconds));

describe('the brake on mass lapses', () => {
  it.each<[string, Date[], number, Omit<MassLapse, 'since'> | null]>([
    ['nothing has lapsed', [], 100, null],
    ['half of twenty', times(10, 0), 10, null],
    ['more than half of twenty', times(11, 0), 9, { lapsed: 11, population: 20 }],
    ['all of twenty', times(20, 0), 0, { lapsed: 20, population: 20 }],
    ['all of nineteen: no brake', times(19, 0), 0, null],
    [
      'spread over less than ten seconds',
      [...times(5, 0), ...times(6, 9_999)],
      9,
      { lapsed: 11, population: 20 },
    ],
    ['spread over ten seconds', [...times(5, 0), ...times(6, 10_000)], 9, null],
    [
      'long gone ones do not count',
      [...times(500, -3_600_000), ...times(11, 0)],
      9,
      { lapsed: 500, population: 520 },
    ],
    [
      'of those that were left',
      [...at(...Array.from({ length: 500 }, (_, n) => n * 60_000 - 1e9)), ...times(11, 0)],
      9,
      {
        lapsed: 11,
        population: 20,
      },
    ],
  ])('%s', (_, lapsedAt, alive, expected) => {
    const found = findMassLapse(lapsedAt, alive);
    expect(found === null ? null : { lapsed: found.lapsed, population: found.population }).toEqual(expected);
  });

  it('finds the largest one, told by its definition instead of by a sweep', () => {
    const instants = fc.array(fc.integer({ min: 0, max: 40_000 }), { maxLength: 60 });
    fc.assert(
      fc.property(instants, fc.integer({ min: 0, max: 40 }), (offsets, alive) => {
        const found = findMassLapse(at(...offsets), alive);
        const candidates = offsets.map((since) => ({
          lapsed: offsets.filter((other) => other >= since && other < since + 10_000).length,
          population: alive + offsets.filter((other) => other >= since).length,
        }));
        const lapses = candidates.filter(
          ({ lapsed, population }) => population >= 20 && lapsed > population / 2,
        );
        expect(found?.lapsed ?? 0).toBe(Math.max(0, ...lapses.map(({ lapsed }) => lapsed)));
      }),
    );
  });

  it('ends as nodes come back', () => {
    fc.assert(
      fc.property(fc.integer({ min: 20, max: 200 }), fc.integer({ min: 0, max: 200 }), (population, back) => {
        const left = Math.max(0, population - back);
        const found = findMassLapse(times(left, 0), population - left);
        expect(found !== null).toBe(left * 2 > population);
      }),
    );
  });
});
