import { describe, expect, it } from '@jest/globals';
import * as fc from 'fast-check';
import { type DesiredVersion, desiredVersion, type VersionSources } from './desired-version.js';
import type { ReleaseFacts, VersionFacts } from './version-filters.js';

const NOTHING: VersionSources = {
  isFenced: false,
  emergencyPin: null,
  nodePin: null,
  rollback: null,
  granted: null,
  joiner: null,
  channel: null,
};
const VERSIONS = ['1.0.0', '2.0.0', '3.0.0'];
type Release = ReleaseFacts & { downgradePossible: boolean };
const release = (version: string, change: Partial<Release> = {}): Release => ({
  version,
  isApproved: true,
  isBlocked: false,
  platforms: new Set(['linux/x64']),
  downgradePossible: true,
  ...change,
});

function facts(
  changes: Record<string, Partial<Release>> = {},
  installed: string | null = '1.0.0',
): VersionFacts {
  const releases = new Map(VERSIONS.map((version) => [version, release(version, changes[version])]));
  const down = (from: string, to: string): string | null =>
    leftBehind(from, to).every((version) => releases.get(version)?.downgradePossible) ? to : null;
  return {
    installed,
    lastKnownGood: '1.0.0',
    platform: 'linux/x64',
    release: (version) => releases.get(version),
    nextOnPath: (from, to) =>
      from === null ? to : to < from ? down(from, to) : (VERSIONS[VERSIONS.indexOf(from) + 1] ?? to),
  };
}
const leftBehind = (from: string, to: string) =>
  VERSIONS.filter((version) => version > to && version <= from);

describe('the version that a node is to run', () => {
  it('follows the first rule that has one', () => {
    const order = ['emergencyPin', 'nodePin', 'rollback', 'granted', 'joiner', 'channel'] as const;
    for (const [index, first] of order.entries()) {
      const sources = { ...NOTHING };
      for (const [later, name] of order.entries())
        if (later >= index) sources[name] = later === index ? '2.0.0' : '1.0.0';
      const { version, ruleNumber } = desiredVersion(sources, facts());
      expect([first, version, ruleNumber]).toEqual([first, '2.0.0', index + 2]);
    }
  });

  it.each<[string, Partial<VersionSources>, VersionFacts, Partial<DesiredVersion>]>([
    [
      'is none for a fenced node',
      { isFenced: true, emergencyPin: '2.0.0' },
      facts(),
      { version: null, rule: 'fenced' },
    ],
    ['is what it has where nothing speaks for another', {}, facts(), { version: null, reason: 'no_source' }],
    [
      'is a stop on the way',
      { channel: '3.0.0' },
      facts(),
      { version: '2.0.0', reason: 'stop_on_the_way', wanted: '3.0.0' },
    ],
    [
      'is never a blocked one, whoever pins it',
      { emergencyPin: '2.0.0', channel: '3.0.0' },
      facts({ '2.0.0': { isBlocked: true } }),
      { version: null, reason: 'release_blocked', rule: 'emergency_pin' },
    ],
    [
      'is never an unapproved one',
      { nodePin: '2.0.0' },
      facts({ '2.0.0': { isApproved: false } }),
      { version: null, reason: 'release_not_approved' },
    ],
    ['is never an unknown one', { nodePin: '9.0.0' }, facts(), { version: null, reason: 'release_unknown' }],
    [
      'is never one for another platform',
      { granted: '2.0.0' },
      facts({ '2.0.0': { platforms: new Set(['darwin/arm64']) } }),
      { version: null, reason: 'no_artifact_for_platform' },
    ],
    [
      'is not an older one where data cannot go back',
      { rollback: '1.0.0' },
      facts({ '2.0.0': { downgradePossible: false } }, '2.0.0'),
      { version: null, reason: 'downgrade_not_possible' },
    ],
    [
      'is not an older one where data cannot go back from a version between',
      { nodePin: '1.0.0' },
      facts({ '2.0.0': { downgradePossible: false } }, '3.0.0'),
      { version: null, reason: 'downgrade_not_possible' },
    ],
    [
      'is an older one where they can',
      { rollback: '1.0.0' },
      facts({}, '2.0.0'),
      { version: '1.0.0', reason: 'chosen' },
    ],
    [
      'is the last good one on a blocked one',
      { channel: null },
      facts({ '2.0.0': { isBlocked: true } }, '2.0.0'),
      { version: '1.0.0', reason: 'last_known_good' },
    ],
    [
      'stops where a stop may not be installed',
      { channel: '3.0.0' },
      facts({ '2.0.0': { isApproved: false } }),
      { version: null, reason: 'release_not_approved' },
    ],
  ])('%s', (_, sources, known, expected) => {
    expect(desiredVersion({ ...NOTHING, ...sources }, known)).toMatchObject(expected);
  });

  it('is always approved, unblocked and there for the platform, and never beyond a way back that there is not', () => {
    const flags = fc.record({
      isApproved: fc.boolean(),
      isBlocked: fc.boolean(),
      downgradePossible: fc.boolean(),
    });
    const wish = fc.option(fc.constantFrom(...VERSIONS, '9.0.0'));
    const sources = fc.record({
      isFenced: fc.boolean(),
      emergencyPin: wish,
      nodePin: wish,
      rollback: wish,
      granted: wish,
      joiner: wish,
      channel: wish,
    });
    void fc.assert(
      fc.property(
        sources,
        fc.tuple(flags, flags, flags),
        fc.option(fc.constantFrom(...VERSIONS)),
        (from, three, installed) => {
          const known = facts(
            Object.fromEntries(three.map((each, index) => [VERSIONS[index], each])),
            installed,
          );
          const { version, rule } = desiredVersion(from, known);
          if (from.isFenced) expect([version, rule]).toEqual([null, 'fenced']);
          if (version === null) return;
          expect(known.release(version)).toMatchObject({ isApproved: true, isBlocked: false });
          for (const left of leftBehind(installed ?? '', version))
            expect(known.release(left)).toMatchObject({ downgradePossible: true });
        },
      ),
      { numRuns: 2_000 },
    );
  });
});
