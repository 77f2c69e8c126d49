import { describe, expect, it } from '@jest/globals';
import { boundedPatch } from './generation-patch.js';

const members = (count: number, value: unknown) =>
  Object.fromEntries(Array.from({ length: count }, (_, index) => [`m${index}`, value]));

describe('the patch of a generation', () => {
  it('says what differs', () => {
    expect(boundedPatch({ roles: [], name: 'a' }, { roles: ['x'], name: 'a' })).toEqual({
      patch: [{ op: 'add', path: '/roles/0', value: 'x' }],
      isTruncated: false,
    });
  });

  it('is whole up to a hundred operations, and says when there are more', () => {
    expect(boundedPatch(members(100, 1), members(100, 2))).toMatchObject({ isTruncated: false });
    const { patch, isTruncated } = boundedPatch(members(101, 1), members(101, 2));
    expect([patch.length, isTruncated]).toEqual([100, true]);
  });

  it('leaves out what is too large, and everything after it', () => {
    const large = 'x'.repeat(33_000);
    const { patch, isTruncated } = boundedPatch({ a: 1, b: 1, c: 1 }, { a: 2, b: large, c: 2 });
    expect([patch, isTruncated]).toEqual([[{ op: 'replace', path: '/a', value: 2 }], true]);
  });
});
