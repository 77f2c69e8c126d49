import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { feedPosition, wentBack } from './feed-position.js';

describe('the position of a reader', () => {
  it('holds the transactions that were open, and the first that had not begun', () => {
    const snapshot = '740:745:740,743';
    expect(feedPosition(snapshot)).toEqual({ snapshot, xmax: '745', inProgress: ['740', '743'] });
  });

  it('knows when nothing was open', () => {
    expect(feedPosition('745:745:').inProgress).toEqual([]);
  });

  it.each(['', '745', '745:745', '745:745:740,', 'a:b:'])('refuses %j', (text) => {
    expect(() => feedPosition(text)).toThrow('not a snapshot');
  });

  it('compares transaction ids as numbers of any size', () => {
    const xid = fc.bigInt({ min: 3n, max: 2n ** 64n - 1n });
    const at = (xmax: bigint) => feedPosition(`${xmax}:${xmax}:`);
    fc.assert(fc.property(xid, xid, (seen, now) => wentBack(at(seen), at(now)) === now < seen));
  });
});
