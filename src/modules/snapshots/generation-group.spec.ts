import { describe, expect, it } from '@jest/globals';
import { groupOf, LEAST_MEMBERS } from './generation-group.js';
import type { UnsignedSnapshot } from './snapshot-parts.js';

const shared = (fill: number) =>
  ({
    content: { authorityTerm: 4 },
    section: { hash: Buffer.alloc(32, fill) },
  }) as unknown as UnsignedSnapshot['shared'];
const OF_ALL = shared(1);

/** Each node with one section more than the one before it. */
const snapshots = (count: number, change: Partial<UnsignedSnapshot> = {}): UnsignedSnapshot[] =>
  Array.from({ length: count }, (_, index) => ({
    clusterId: 'c',
    nodeId: `n${index}`,
    own: { hashes: Buffer.alloc(32 * (index + 1), index) } as UnsignedSnapshot['own'],
    shared: OF_ALL,
    generation: 100 + index,
    issue: 1,
    issuedAt: new Date(5_000 + index),
    expiresAt: new Date(9_000 + index),
    ...(index === count - 1 ? change : {}),
  }));

describe('generations of many nodes', () => {
  it('are packed in one order, with where the sections of each begin', () => {
    const group = groupOf(snapshots(LEAST_MEMBERS));
    const numbers = (literal = '') => JSON.parse(literal.replace('{', '[').replace('}', ']')) as number[];
    const indices = Array.from({ length: LEAST_MEMBERS }, (_, index) => index);
    expect(group).toMatchObject({ clusterId: 'c', authorityTerm: 4, sharedHash: OF_ALL.section.hash });
    expect(group?.nodeIds).toBe(`{${indices.map((index) => `n${index}`).join(',')}}`);
    expect(numbers(group?.generations)).toEqual(indices.map((index) => 100 + index));
    expect(numbers(group?.issuedMs)).toEqual(indices.map((index) => 5_000 + index));
    expect(numbers(group?.expiresMs)).toEqual(indices.map((index) => 9_000 + index));
    const bounds = numbers(group?.ownBounds);
    expect(bounds).toHaveLength(LEAST_MEMBERS + 1);
    for (const index of indices) {
      expect(group?.ownHashes.subarray(bounds[index], bounds[index + 1])).toEqual(
        Buffer.alloc(32 * (index + 1), index),
      );
    }
    expect(bounds.at(-1)).toBe(group?.ownHashes.length);
  });

  it.each<[string, UnsignedSnapshot[], boolean]>([
    ['one fewer than is worth it', snapshots(LEAST_MEMBERS - 1), false],
    ['none', [], false],
    ['one of another cluster', snapshots(LEAST_MEMBERS, { clusterId: 'd' }), false],
    [
      'one that shares something else, as after another change',
      snapshots(LEAST_MEMBERS, { shared: shared(2) }),
      false,
    ],
    ['one that shares the same, read again', snapshots(LEAST_MEMBERS, { shared: shared(1) }), true],
  ])('with %s among them', (_, some, isGroup) => {
    expect(groupOf(some) !== null).toBe(isGroup);
  });
});
