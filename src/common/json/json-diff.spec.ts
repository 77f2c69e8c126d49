import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { applyPatch } from 'rfc6902';
import { jsonDiff, type Operation } from './json-diff.js';

/** `before` with the operations applied to a copy of it. */
function patched(before: unknown, operations: Operation[]): unknown {
  const root = { document: copy(before) };
  const below = operations.map((operation) => ({ ...operation, path: `/document${operation.path}` }));
  expect(applyPatch(root, below).filter((error) => error !== null)).toEqual([]);
  return root.document;
}

const copy = (value: unknown): unknown => JSON.parse(JSON.stringify(value));

describe('jsonDiff', () => {
  it.each<[string, unknown, unknown, Operation[]]>([
    ['nothing for equal values', { a: [1, { b: 2 }] }, { a: [1, { b: 2 }] }, []],
    ['nothing for another order of names', { a: 1, b: 2 }, { b: 2, a: 1 }, []],
    ['a changed member', { a: { b: 1 } }, { a: { b: 2 } }, [{ op: 'replace', path: '/a/b', value: 2 }]],
    [
      'a new and a lost member',
      { a: 1 },
      { b: 2 },
      [
        { op: 'remove', path: '/a' },
        { op: 'add', path: '/b', value: 2 },
      ],
    ],
    ['escaped names', { 'a/b': 1 }, { 'a/b': 2 }, [{ op: 'replace', path: '/a~1b', value: 2 }]],
    ['the whole value', null, { a: 1 }, [{ op: 'replace', path: '', value: { a: 1 } }]],
    ['one new item as one operation', [1, 2, 3], [1, 9, 2, 3], [{ op: 'add', path: '/1', value: 9 }]],
    ['one lost item as one operation', [1, 2, 3], [2, 3], [{ op: 'remove', path: '/0' }]],
    ['an appended item by its place', [1], [1, 2], [{ op: 'add', path: '/1', value: 2 }]],
    [
      'a change inside an item',
      {
        n: [
          { id: 1, x: 1 },
          { id: 2, x: 1 },
        ],
      },
      {
        n: [
          { id: 1, x: 1 },
          { id: 2, x: 2 },
        ],
      },
      [{ op: 'replace', path: '/n/1/x', value: 2 }],
    ],
    [
      'losses and gains around a kept item',
      ['a', 'b', 'k', 'c'],
      ['k', 'd', 'e'],
      [
        { op: 'remove', path: '/0' },
        { op: 'remove', path: '/0' },
        { op: 'replace', path: '/1', value: 'd' },
        { op: 'add', path: '/2', value: 'e' },
      ],
    ],
    ['an array that becomes an object', { a: [] }, { a: {} }, [{ op: 'replace', path: '/a', value: {} }]],
  ])('says %s', (_, before, after, operations) => {
    expect(jsonDiff(before, after)).toEqual(operations);
    expect(patched(before, operations)).toEqual(after);
  });

  // The package that applies the operations goes past these names; __proto__ every parser of this service refuses.
  const json = fc
    .jsonValue({ maxDepth: 4 })
    .filter((value) => !/"(__proto__|constructor|prototype)":/.test(JSON.stringify(value)))
    .map(copy);

  it('turns any value into any other', () => {
    fc.assert(
      fc.property(json, json, (before, after) =>
        expect(patched(before, jsonDiff(before, after))).toEqual(after),
      ),
    );
  });

  it('turns any array of few different items into any other', () => {
    const item = fc.oneof(
      fc.constantFrom<unknown>(1, 'a', null, [1], { a: 1 }),
      fc.record({ id: fc.nat(3), x: fc.nat(1) }),
    );
    const list = fc.array(item, { maxLength: 12 });
    fc.assert(
      fc.property(list, list, (before, after) =>
        expect(patched(before, jsonDiff(before, after))).toEqual(after),
      ),
      { numRuns: 1_000 },
    );
  });

  it('copes with arrays too large to compare item by item', () => {
    const before = Array.from({ length: 3_000 }, (_, index) => ({ id: index }));
    const after = before.map(({ id }) => ({ id: id + 1 })).reverse();
    expect(patched(before, jsonDiff(before, after))).toEqual(after);
  });
});
