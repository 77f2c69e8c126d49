import { describe, expect, it } from '@jest/globals';
import * as fc from 'fast-check';
import { sha256OfJson } from '../../../common/json/canonical-json.js';
import { nodeBucket } from './node-bucket.js';
import { planning, planRollout } from './plan.js';
import { planDigest } from './plan-hash.js';
import { graphFaults, withDependencies } from './wave-graph.js';
import { shareOut, type WaveShare } from './wave-shares.js';

const node = (nodeId: string, platform = 'linux/x64') => ({ nodeId, platform });
const ids = (waves: readonly (readonly { nodeId: string }[])[]) =>
  waves.map((wave) => wave.map(({ nodeId }) => nodeId).join(''));
const percent = (value: number): WaveShare => ({ kind: 'percent', percent: value });

describe('waves', () => {
  it('share the fleet by percent of all, by number, and by choice', () => {
    const fleet = [...'abcdefghij'].map((id) => node(id));
    const shares: WaveShare[] = [
      percent(15),
      { kind: 'selected', nodeIds: new Set(['j', 'a']) },
      { kind: 'count', count: 3 },
      percent(100),
    ];
    expect(ids(shareOut(fleet, shares))).toEqual(['ab', 'j', 'cde', 'fghi']);
  });

  it('try each platform first, even beyond the share of the first wave', () => {
    const fleet = [node('a'), node('b'), node('c'), node('d', 'windows/x64'), node('e', 'linux/arm64')];
    expect(ids(shareOut(fleet, [percent(20), percent(100)]))).toEqual(['ade', 'bc']);
    expect(ids(shareOut(fleet, [percent(80), percent(100)]))).toEqual(['abde', 'c']);
  });

  it('never hold a node twice, nor leave one out that they promise', () => {
    const platforms = fc.constantFrom('linux/x64', 'linux/arm64', 'windows/x64');
    const share = fc.oneof(
      fc.record({ kind: fc.constant('percent' as const), percent: fc.integer({ min: 1, max: 100 }) }),
      fc.record({ kind: fc.constant('count' as const), count: fc.integer({ min: 1, max: 9 }) }),
    );
    void fc.assert(
      fc.property(
        fc.array(platforms, { maxLength: 30 }),
        fc.array(share, { minLength: 1, maxLength: 5 }),
        (fleet, shares) => {
          const waves = shareOut(
            fleet.map((platform, index) => node(String(index), platform)),
            [...shares, percent(100)],
          );
          const members = waves.flat().map(({ nodeId }) => nodeId);
          expect(new Set(members).size).toBe(members.length);
          expect(members).toHaveLength(fleet.length);
          expect(new Set(waves[0]?.map(({ platform }) => platform))).toEqual(new Set(fleet));
        },
      ),
    );
  });

  it('begin with other nodes in every rollout', () => {
    const order = (salt: string) =>
      times(50).sort((one, other) => nodeBucket(salt, String(one)) - nodeBucket(salt, String(other)));
    expect(order('one')).toEqual(order('one'));
    expect(order('one').slice(0, 5)).not.toEqual(order('two').slice(0, 5));
  });

  it.each<[string, { name: string; dependsOn?: string[] }[], [number, string][]]>([
    ['follow each other where nothing is said', [{ name: 'a' }, { name: 'b' }], []],
    [
      'may stand beside each other',
      [{ name: 'a' }, { name: 'b', dependsOn: [] }, { name: 'c', dependsOn: ['a', 'b'] }],
      [],
    ],
    ['have names of their own', [{ name: 'a' }, { name: 'a' }], [[1, 'Another wave is named a.']]],
    ['wait for waves that exist', [{ name: 'a', dependsOn: ['z'] }], [[0, 'There is no wave z.']]],
    [
      'never wait in a circle',
      [
        { name: 'a', dependsOn: ['c'] },
        { name: 'b' },
        { name: 'c', dependsOn: ['b'] },
        { name: 'd', dependsOn: [] },
      ],
      [
        [0, 'The wave waits for itself.'],
        [1, 'The wave waits for itself.'],
        [2, 'The wave waits for itself.'],
      ],
    ],
  ])('%s', (_, waves, faults) => {
    expect(graphFaults(withDependencies(waves)).map(({ wave, message }) => [wave, message])).toEqual(faults);
  });
});

describe('a plan', () => {
  const candidate = {
    platform: 'linux/x64',
    installed: '1.0.0',
    lastKnownGood: '1.0.0',
    obstacle: null,
  } as const;
  const input: Parameters<typeof planRollout>[0] = {
    targetVersion: '3.0.0',
    salt: 'salt',
    candidates: [
      { ...candidate, nodeId: 'a' },
      { ...candidate, nodeId: 'b', installed: '2.0.0' },
      { ...candidate, nodeId: 'c', installed: '3.0.0' },
      { ...candidate, nodeId: 'd', platform: 'darwin/arm64' },
      { ...candidate, nodeId: 'e', obstacle: 'pinned' },
      { ...candidate, nodeId: 'f', installed: '0.1.0' },
      { ...candidate, nodeId: 'g', installed: null },
    ],
    waves: [{ name: 'all', share: percent(100) }],
    versionsFor: () => ({
      release: (version) => ({
        version,
        isApproved: true,
        isBlocked: false,
        platforms: new Set(['linux/x64']),
      }),
      nextOnPath: (from, to) => (from === null ? to : ({ '1.0.0': '2.0.0', '2.0.0': '3.0.0' }[from] ?? null)),
    }),
  };

  it('names each node once: with its way, or with why it is left out', () => {
    const { waves, skipped } = planRollout(input);
    const ways = waves[0]?.nodes.map(({ nodeId, nextVersion }) => [nodeId, nextVersion]).sort();
    expect(ways).toEqual([
      ['a', '2.0.0'],
      ['b', '3.0.0'],
      ['g', '3.0.0'],
    ]);
    expect(skipped).toEqual([
      { nodeId: 'c', reason: 'already_on_target' },
      { nodeId: 'd', reason: 'no_artifact_for_platform' },
      { nodeId: 'e', reason: 'pinned' },
      { nodeId: 'f', reason: 'no_version_path' },
    ]);
  });

  it('stops after each few thousand nodes, for others to have their turn, and asks once about nodes that are alike', () => {
    let asked = 0;
    const { release, nextOnPath } = input.versionsFor({ ...candidate, nodeId: 'a' });
    const versions = {
      release,
      nextOnPath: (from: string | null, to: string) => {
        asked += 1;
        return nextOnPath(from, to);
      },
    };
    const candidates = times(9_000).map((index) => ({
      ...candidate,
      nodeId: `n${index}`,
      installed: index % 3 === 0 ? '1.0.0' : '2.0.0',
    }));
    const work = planning({ ...input, candidates, versionsFor: () => versions });
    let parts = 0;
    let step = work.next();
    for (; !step.done; step = work.next()) parts += 1;
    expect(parts).toBeGreaterThanOrEqual(10);
    expect(asked).toBe(2);
    const stops = step.value.waves[0]?.nodes.map(
      ({ fromVersion, nextVersion }) => `${fromVersion} ${nextVersion}`,
    );
    expect(stops?.filter((stop) => stop === '1.0.0 2.0.0')).toHaveLength(3_000);
    expect(stops?.filter((stop) => stop === '2.0.0 3.0.0')).toHaveLength(6_000);
  });

  it('leaves nobody out in silence', () => {
    const { skipped } = planRollout({
      ...input,
      waves: [{ name: 'one', share: { kind: 'selected', nodeIds: new Set(['a']) } }],
    });
    expect(skipped.filter(({ reason }) => reason === 'in_no_wave').map(({ nodeId }) => nodeId)).toEqual([
      'b',
      'g',
    ]);
  });

  it('has a digest of all that is approved: nodes, waves, ways and terms', async () => {
    const terms = { maxUnavailable: 1 };
    const plan = planRollout(input);
    const digest = await planDigest(terms, plan);
    const backwards = planRollout({ ...input, candidates: [...input.candidates].reverse() });
    expect(await planDigest(terms, backwards)).toBe(digest);
    expect(await planDigest({ maxUnavailable: 2 }, plan)).not.toBe(digest);
    const fewer = planRollout({ ...input, candidates: input.candidates.slice(1) });
    expect(await planDigest(terms, fewer)).not.toBe(digest);
  });

  it('has the digest of one canonical document, however many nodes it is made up of', async () => {
    const nodes = times(4_500).map((index) => ({
      nodeId: `n${index}`,
      platform: 'linux/x64',
      fromVersion: index % 2 === 0 ? null : '1.0.0',
      nextVersion: '2.0.0',
    }));
    const waves = [
      { name: 'a', nodes },
      { name: 'none', nodes: [] },
      { name: 'b', nodes: nodes.slice(0, 1) },
    ];
    const skipped = times(2_001).map((index) => ({ nodeId: `s${index}`, reason: 'pinned' as const }));
    const terms = { strategy: { maxUnavailable: 1 }, product: 'p' };
    const told = waves.map((wave) => ({
      name: wave.name,
      nodes: wave.nodes.map(({ nodeId, fromVersion, nextVersion }) => [nodeId, fromVersion, nextVersion]),
    }));
    expect(await planDigest(terms, { waves, skipped, untriedPlatforms: [] })).toBe(
      sha256OfJson({ terms, waves: told, skipped }).toString('base64url'),
    );
  });
});

function times(count: number): number[] {
  return Array.from({ length: count }, (_, index) => index);
}
