import { describe, expect, it } from '@jest/globals';
import * as fc from 'fast-check';
import {
  dueVersion,
  type KnownRelease,
  type NodeCase,
  type TimedWish,
} from '../../../test/support/rollouts/desired-oracle.js';
import type { ReleaseFacts } from '../releases/version-rules.js';
import { emergencyPinStatus } from './emergency-pin.js';
import { desiredVersion, type VersionSources } from './engine/desired-version.js';
import type { VersionFacts } from './engine/version-filters.js';
import { ReleaseVersions } from './release-versions.js';
import { isInForce } from './version-pin.js';

/** Set them for a night. */
const CASES = Number(process.env.FABRIC_TEST_RESOLUTIONS ?? 2_000);
const SEED = Number(process.env.FABRIC_TEST_ROLLOUT_SEED ?? 71);

const VERSIONS = ['1.0.0', '1.5.0', '2.0.0', '2.5.0', '3.0.0'];
const PLATFORMS = ['linux/x64', 'linux/arm64'];
const NOW = 1_800_000_000_000;

/** What decides, each in one place, so that a wrong one can stand there. */
const PARTS = { desiredVersion, emergencyPinStatus, isInForce };
type Parts = typeof PARTS;

const often = (odds: number) => fc.integer({ min: 1, max: odds }).map((drawn) => drawn !== 1);
const releases: fc.Arbitrary<KnownRelease[]> = fc
  .tuple(
    ...VERSIONS.map((version) =>
      fc.record({
        version: fc.constant(version),
        isKnown: often(8),
        isApproved: often(6),
        isBlocked: often(4).map((not) => !not),
        platforms: fc.oneof(
          { weight: 3, arbitrary: fc.constant(PLATFORMS) },
          { weight: 1, arbitrary: fc.subarray(PLATFORMS) },
        ),
        floor: fc.option(fc.constantFrom(...VERSIONS.filter((each) => each < version), version), { freq: 2 }),
        minAgent: fc.option(fc.constantFrom('1.0.0', '1.5.0'), { freq: 2 }),
        canBeUndone: often(4),
      }),
    ),
  )
  .map((all) => all.flatMap(({ isKnown, ...release }) => (isKnown ? [release] : [])));
/** As often at its very instant as on either side of it. */
const instant = fc.constantFrom(NOW - 60_000, NOW - 1, NOW, NOW + 1, NOW + 60_000);
const version = fc.constantFrom(...VERSIONS, '9.0.0');
const emergency: fc.Arbitrary<TimedWish> = fc.record({
  version,
  beganAt: fc.option(fc.constant(NOW - 60_000), { freq: 4 }),
  endedAt: fc.option(fc.constant(NOW - 60_000), { freq: 2 }),
  expiresAt: instant,
});
const pin: fc.Arbitrary<TimedWish> = fc.record({
  version,
  beganAt: fc.constant(NOW - 60_000),
  endedAt: fc.constant(null),
  expiresAt: fc.option(instant),
});
const wish = fc.option(version, { freq: 2 });
const nodes: fc.Arbitrary<NodeCase> = fc.record({
  platform: fc.constantFrom(...PLATFORMS, 'windows/x64'),
  agent: fc.option(fc.constantFrom(...VERSIONS), { freq: 6 }),
  installed: fc.option(fc.constantFrom(...VERSIONS, '0.9.0'), { freq: 8 }),
  lastKnownGood: fc.option(fc.constantFrom(...VERSIONS)),
  isFenced: often(10).map((not) => !not),
  emergency: fc.option(emergency, { freq: 2 }),
  pin: fc.option(pin, { freq: 2 }),
  rollback: wish,
  granted: wish,
  joiner: wish,
  channel: wish,
});

/** The node as the service asks its rules about it. */
function sourcesOf(node: NodeCase, parts: Parts): VersionSources {
  const { isFenced, rollback, granted, joiner, channel } = node;
  return {
    ...{ isFenced, rollback, granted, joiner, channel },
    emergencyPin: inForceNow(node.emergency, parts),
    nodePin:
      node.pin !== null && parts.isInForce({ expiresAt: dateOf(node.pin.expiresAt) }, new Date(NOW))
        ? node.pin.version
        : null,
  };
}

function inForceNow(emergency: TimedWish | null, { emergencyPinStatus: statusOf }: Parts): string | null {
  if (emergency === null) return null;
  const { beganAt, endedAt, expiresAt } = emergency;
  const facts = {
    activatedAt: dateOf(beganAt),
    endedAt: dateOf(endedAt),
    endedBecause: endedAt === null ? null : ('lifted' as const),
    expiresAt: dateOf(expiresAt) ?? new Date(NOW),
  };
  return statusOf(facts, new Date(NOW)) === 'in_force' ? emergency.version : null;
}

const dateOf = (at: number | null): Date | null => (at === null ? null : new Date(at));

function factsOf(node: NodeCase, known: readonly KnownRelease[]): VersionFacts {
  const versions = new ReleaseVersions(known.map(releaseOf));
  const [os = '', arch = ''] = node.platform.split('/');
  const { installed, lastKnownGood, platform } = node;
  return { installed, lastKnownGood, platform, ...versions.for({ os, arch, agentVersion: node.agent }) };
}

function releaseOf({ platforms, floor, minAgent, canBeUndone, ...release }: KnownRelease): ReleaseFacts {
  return {
    ...release,
    ...{ releaseId: release.version, productId: 'agent', minAgentVersion: minAgent },
    fromVersions: floor === null ? null : [`>=${floor}`],
    artifacts: platforms.map((platform) => {
      const [os = '', arch = ''] = platform.split('/');
      return { os, arch, sha256: '', size: 1, isStored: true };
    }),
    migrations: [
      { id: 'all', sourceVersion: '0.0.0', targetVersion: release.version, downgradePossible: canBeUndone },
    ],
  };
}

const resolutions = (parts: Parts) =>
  fc.property(releases, nodes, (known, node) => {
    const desired = parts.desiredVersion(sourcesOf(node, parts), factsOf(node, known));
    const due = dueVersion(node, known, NOW);
    const { ruleNumber, version: chosen } = desired;
    const isRight = chosen === null ? due.versions.length === 0 : due.versions.includes(chosen);
    expect({ ruleNumber, isRight, chosen, due }).toEqual({
      ruleNumber: due.rule,
      isRight: true,
      chosen,
      due,
    });
  });

/** The release to which something leads, as one that nobody has blocked. */
const unblocked = (facts: VersionFacts, wanted: string | null): VersionFacts => ({
  ...facts,
  release: (each) => {
    const known = facts.release(each);
    return known === undefined || each !== wanted ? known : { ...known, isBlocked: false };
  },
});

const MISTAKES: [string, Partial<Parts>][] = [
  [
    'an emergency pin overrides a block',
    { desiredVersion: (from, facts) => desiredVersion(from, unblocked(facts, from.emergencyPin)) },
  ],
  [
    'a node pin overrides a block',
    { desiredVersion: (from, facts) => desiredVersion(from, unblocked(facts, from.nodePin)) },
  ],
  [
    'a pin may skip the version before',
    {
      desiredVersion: (from, facts) =>
        desiredVersion(from, {
          ...facts,
          nextOnPath: (one, to) => (to === from.nodePin ? to : facts.nextOnPath(one, to)),
        }),
    },
  ],
  [
    'an expired emergency pin goes on counting',
    {
      emergencyPinStatus: (facts, now) =>
        emergencyPinStatus({ ...facts, expiresAt: new Date(now.getTime() + 1) }, now),
    },
  ],
  [
    'an emergency pin counts at the instant at which it expires',
    { emergencyPinStatus: (facts, now) => emergencyPinStatus(facts, new Date(now.getTime() - 1)) },
  ],
  ['an expired node pin goes on counting', { isInForce: () => true }],
  [
    'a node pin comes before an emergency pin',
    {
      desiredVersion: (from, facts) =>
        desiredVersion(
          { ...from, emergencyPin: from.nodePin ?? from.emergencyPin, nodePin: from.emergencyPin },
          facts,
        ),
    },
  ],
  [
    'a rollback comes before a node pin',
    {
      desiredVersion: (from, facts) =>
        desiredVersion({ ...from, nodePin: from.rollback ?? from.nodePin, rollback: from.nodePin }, facts),
    },
  ],
];

describe('the version that a node is to run, by the rules as they are written', () => {
  it('is that of the first rule, past no filter, in every state', () => {
    void fc.assert(resolutions(PARTS), { numRuns: CASES, seed: SEED, endOnFailure: true });
  });

  it.each(MISTAKES)('would be found wrong if %s', (_, mistake) => {
    const { failed } = fc.check(resolutions({ ...PARTS, ...mistake }), {
      numRuns: 5_000,
      seed: SEED,
      endOnFailure: true,
    });
    expect(failed).toBe(true);
  });
});
