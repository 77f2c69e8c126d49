import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { MAX_GROUP_DEPTH, placementFault } from './node-group.js';

describe('the place of a group', () => {
  it.each<[string, string[], number, ReturnType<typeof placementFault>]>([
    ['at the root', [], 1, null],
    ['at the root with eight levels', [], 8, null],
    ['at the root with nine levels', [], 9, 'group_too_deep'],
    ['under a group at the seventh level', ['7', '6', '5', '4', '3', '2', '1'], 1, null],
    ['under a group at the eighth level', ['8', '7', '6', '5', '4', '3', '2', '1'], 1, 'group_too_deep'],
    ['under itself', ['moved'], 1, 'group_cycle'],
    ['below itself, too deep as well', ['child', 'moved'], 7, 'group_cycle'],
  ])('%s', (_, ancestorIds, height, fault) =>
    expect(placementFault({ groupId: 'moved', ancestorIds, height })).toBe(fault),
  );

  it('keeps any history of moves a forest of at most eight levels', () => {
    const GROUPS = 12;
    const move = fc.record({
      group: fc.nat(GROUPS - 1),
      parent: fc.option(fc.nat(GROUPS - 1), { nil: null }),
    });
    fc.assert(
      fc.property(fc.array(move, { maxLength: 80 }), (moves) => {
        const parents: (number | null)[] = Array.from({ length: GROUPS }, () => null);
        for (const { group, parent } of moves) {
          const ancestorIds = parent === null ? [] : above(parents, parent);
          const height = heightOf(parents, group);
          const fault = placementFault({
            groupId: String(group),
            ancestorIds: ancestorIds.map(String),
            height,
          });
          if (fault === null) parents[group] = parent;
        }
        for (let group = 0; group < GROUPS; group += 1)
          expect(above(parents, group).length).toBeLessThanOrEqual(MAX_GROUP_DEPTH);
      }),
    );
  });
});

/** The group and all above it; stops where a cycle would go on for ever. */
function above(parents: readonly (number | null)[], start: number): number[] {
  const path: number[] = [];
  for (let at: number | null = start; at !== null && path.length <= parents.length; at = parents[at] ?? null)
    path.push(at);
  return path;
}

function heightOf(parents: readonly (number | null)[], group: number): number {
  const below = parents.flatMap((parent, child) => (parent === group ? [heightOf(parents, child)] : []));
  return 1 + Math.max(0, ...below);
}
