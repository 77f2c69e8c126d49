import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { byteRange } from './byte-range.js';

const NONE = 'unsatisfiable';

describe('a range of bytes', () => {
  it.each<[string | undefined, number, ReturnType<typeof byteRange>]>([
    [undefined, 10, null],
    ['bytes=0-4', 10, { start: 0, end: 4 }],
    ['bytes=5-', 10, { start: 5, end: 9 }],
    ['bytes=-3', 10, { start: 7, end: 9 }],
    ['bytes=-30', 10, { start: 0, end: 9 }],
    ['bytes=8-100', 10, { start: 8, end: 9 }],
    ['bytes=10-', 10, NONE],
    ['bytes=10-20', 10, NONE],
    ['bytes=-0', 10, NONE],
    ['bytes=0-', 0, NONE],
    ['bytes=5-4', 10, null],
    ['bytes=0-1,3-4', 10, null],
    ['items=0-1', 10, null],
    ['bytes=a-b', 10, null],
    ['bytes=-', 10, null],
    ['bytes=0-1 ', 10, null],
    ['bytes=99999999999999999999-', 10, null],
  ])('%s of %d bytes', (header, size, expected) => expect(byteRange(header, size)).toEqual(expected));

  it('lies within the file, whatever is asked', () => {
    fc.assert(
      fc.property(fc.nat(50), fc.option(fc.nat(60)), fc.option(fc.nat(60)), (size, first, last) => {
        const range = byteRange(`bytes=${first ?? ''}-${last ?? ''}`, size);
        if (range === null || range === NONE) return;
        expect(range.start).toBeGreaterThanOrEqual(0);
        expect(range.end).toBeGreaterThanOrEqual(range.start);
        expect(range.end).toBeLessThan(size);
      }),
    );
  });
});
