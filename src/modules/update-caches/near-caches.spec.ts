import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { nearestCaches, type PlacedNode, TOLD_CACHES } from './near-caches.js';

const at = (nodeId: string, ...groups: string[]): PlacedNode => ({ nodeId, groups });
const idsOf = (nodes: readonly PlacedNode[]) => nodes.map(({ nodeId }) => nodeId);

describe('the caches near a node', () => {
  it.each<[string, PlacedNode, PlacedNode[], string[]]>([
    ['none where there are none', at('n', 'eu'), [], []],
    [
      'first those of its own group, then those of the groups above',
      at('n', 'eu', 'ams', 'rack-1'),
      [
        at('far', 'us', 'nyc'),
        at('site', 'eu', 'ams'),
        at('same', 'eu', 'ams', 'rack-1'),
        at('region', 'eu', 'fra'),
      ],
      ['same', 'site', 'region'],
    ],
    ['also one below its group', at('n', 'eu'), [at('us', 'us'), at('below', 'eu', 'ams')], ['below', 'us']],
    ['one elsewhere where there is no nearer one', at('n', 'eu'), [at('us', 'us')], ['us']],
    ['never the node itself', at('n', 'eu'), [at('n', 'eu'), at('m', 'eu')], ['m']],
    ['any for a node in no group', at('n'), [at('a', 'eu')], ['a']],
  ])('%s', (_, node, caches, wanted) => expect(idsOf(nearestCaches(node, caches))).toEqual(wanted));

  const nodes = fc.uniqueArray(
    fc.record({
      nodeId: fc.uuid(),
      groups: fc.array(fc.constantFrom('a', 'b'), { maxLength: 4 }),
    }),
    { selector: ({ nodeId }) => nodeId, minLength: 1, maxLength: 12 },
  );

  it('are few, the same in whatever order they are found, and no farther one comes before a nearer one', () => {
    fc.assert(
      fc.property(nodes, fc.nat(), ([node, ...caches], turn) => {
        if (node === undefined) return;
        const told = nearestCaches(node, caches);
        expect(told).toHaveLength(Math.min(TOLD_CACHES, caches.length));
        const turned = [...caches.slice(turn % 12), ...caches.slice(0, turn % 12)].reverse();
        expect(nearestCaches(node, turned)).toEqual(told);
        const near = ({ groups }: PlacedNode) => {
          const level = groups.findIndex((group, index) => group !== node.groups[index]);
          return Math.min(level === -1 ? groups.length : level, node.groups.length);
        };
        const left = caches.filter((cache) => !told.includes(cache));
        for (const one of told)
          for (const other of left) expect(near(one)).toBeGreaterThanOrEqual(near(other));
      }),
    );
  });

  it('are spread over nodes: equally near ones do not all come first', () => {
    const caches = ['a', 'b', 'c', 'd'].map((id) => at(id, 'eu'));
    const first = new Set(
      Array.from({ length: 64 }, (_, index) => nearestCaches(at(`n${index}`, 'eu'), caches)[0]?.nodeId),
    );
    expect([...first].sort()).toEqual(['a', 'b', 'c', 'd']);
  });
});
