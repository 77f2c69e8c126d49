import { describe, expect, it } from '@jest/globals';
import { changedMembers } from './changed-members.js';

describe('changedMembers', () => {
  it('is null where nothing changed, in whatever order members are written', () => {
    expect(changedMembers({ a: 1, b: { c: 1, d: [2] } }, { b: { d: [2], c: 1 }, a: 1 })).toBeNull();
  });

  it('holds what changed, and nothing else', () => {
    expect(changedMembers({ a: 1, b: { c: 1 }, d: null }, { a: 2, b: { c: 1 }, d: null })).toEqual({
      before: { a: 1 },
      after: { a: 2 },
    });
    expect(changedMembers<{ a: unknown }>({ a: null }, { a: [] })).toEqual({
      before: { a: null },
      after: { a: [] },
    });
  });
});
