import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { compareVersions } from './semantic-version.js';
import { type ReleaseFacts, releaseObstacles, type UpdateSubject, versionPath } from './version-rules.js';

const NODE: UpdateSubject = { os: 'linux', arch: 'x64', agentVersion: '1.0.0', fromVersion: '1.0.0' };

function release(version: string, change: Partial<ReleaseFacts> = {}): ReleaseFacts {
  return {
    releaseId: version,
    productId: 'product',
    version,
    isApproved: true,
    isBlocked: false,
    minAgentVersion: null,
    fromVersions: null,
    artifacts: [{ os: 'linux', arch: 'x64', sha256: '00', size: 1, isStored: true }],
    migrations: [],
    ...change,
  };
}

const migration = (downgradePossible: boolean) => ({
  id: 'm',
  sourceVersion: '1',
  targetVersion: '2',
  downgradePossible,
});

function told(target: ReleaseFacts, others: readonly ReleaseFacts[], subject: Partial<UpdateSubject> = {}) {
  const path = versionPath(target, { ...NODE, ...subject }, [target, ...others]);
  return path.steps?.map(({ version }) => version) ?? path.obstacles?.map(({ code }) => code);
}

describe('the way to a version', () => {
  it.each<[string, ReleaseFacts, ReleaseFacts[], Partial<UpdateSubject>, string[]]>([
    ['is one step where nothing says otherwise', release('2.0.0'), [], {}, ['2.0.0']],
    ['has no step for who is there', release('1.0.0'), [], {}, []],
    [
      'has none either for who differs in build metadata',
      release('1.0.0+b'),
      [],
      { fromVersion: '1.0.0+a' },
      [],
    ],
    [
      'is one step for who has nothing yet',
      release('2.0.0', { fromVersions: ['>=1.9.0'] }),
      [],
      { fromVersion: null },
      ['2.0.0'],
    ],
    [
      'counts pre-releases as the versions that they are',
      release('2.0.0', { fromVersions: ['>=1.0.0'] }),
      [],
      { fromVersion: '1.1.0-rc.1' },
      ['2.0.0'],
    ],
    [
      'goes over the next floor',
      release('3.0.0', { fromVersions: ['>=2.0.0'] }),
      [release('2.0.0')],
      {},
      ['2.0.0', '3.0.0'],
    ],
    [
      'takes the latest of several floors',
      release('3.0.0', { fromVersions: ['>=2.0.0'] }),
      [release('2.0.0'), release('2.5.0')],
      {},
      ['2.5.0', '3.0.0'],
    ],
    [
      'goes over as many floors as it must',
      release('4.0.0', { fromVersions: ['>=3.0.0'] }),
      [release('3.0.0', { fromVersions: ['>=2.0.0'] }), release('2.0.0')],
      {},
      ['2.0.0', '3.0.0', '4.0.0'],
    ],
    [
      'is ended by a floor that is blocked',
      release('3.0.0', { fromVersions: ['>=2.0.0'] }),
      [release('2.0.0', { isBlocked: true })],
      {},
      ['from_version_incompatible', 'no_path'],
    ],
    [
      'is ended by a floor that has nothing for the system',
      release('3.0.0', { fromVersions: ['>=2.0.0'] }),
      [release('2.0.0', { artifacts: [] })],
      {},
      ['from_version_incompatible', 'no_path'],
    ],
    [
      'goes over no floor that is behind',
      release('3.0.0', { fromVersions: ['0.5.0'] }),
      [release('0.5.0')],
      {},
      ['from_version_incompatible', 'no_path'],
    ],
    [
      'leads back where every migration can be undone',
      release('1.0.0'),
      [release('2.0.0', { migrations: [migration(true)] })],
      { fromVersion: '2.0.0' },
      ['1.0.0'],
    ],
    [
      'does not lead back over one that cannot',
      release('1.0.0'),
      [release('2.0.0', { migrations: [migration(false)] })],
      { fromVersion: '2.0.0' },
      ['downgrade_not_possible'],
    ],
    [
      'nor over one that lies between',
      release('1.0.0'),
      [release('1.5.0', { migrations: [migration(false)] }), release('2.0.0')],
      { fromVersion: '2.0.0' },
      ['downgrade_not_possible'],
    ],
    [
      'asks nothing of migrations that were run to come to the target itself',
      release('1.0.0', { migrations: [migration(false)] }),
      [release('2.0.0')],
      { fromVersion: '2.0.0' },
      ['1.0.0'],
    ],
    [
      'leads back even from what is blocked',
      release('1.0.0'),
      [release('2.0.0', { isBlocked: true })],
      { fromVersion: '2.0.0' },
      ['1.0.0'],
    ],
    [
      'does not lead back from what nobody knows',
      release('1.0.0'),
      [],
      { fromVersion: '2.0.0' },
      ['from_version_unknown'],
    ],
    [
      'starts from no version where it may start anywhere',
      release('1.0.0'),
      [],
      { fromVersion: 'devel' },
      ['1.0.0'],
    ],
    [
      'does not where it may not',
      release('1.0.0', { fromVersions: ['*'] }),
      [],
      { fromVersion: 'devel' },
      ['from_version_unknown'],
    ],
    [
      'does not lead to what is not approved',
      release('2.0.0', { isApproved: false }),
      [],
      {},
      ['release_not_approved'],
    ],
    ['nor to what is blocked', release('2.0.0', { isBlocked: true }), [], {}, ['release_blocked']],
    ['nor to what has nothing for the system', release('2.0.0'), [], { arch: 'arm64' }, ['no_variant']],
    [
      'nor where the agent is too old',
      release('2.0.0', { minAgentVersion: '1.0.1' }),
      [],
      {},
      ['agent_too_old'],
    ],
    [
      'nor where nobody knows how old it is',
      release('2.0.0', { minAgentVersion: '1.0.0' }),
      [],
      { agentVersion: null },
      ['agent_too_old'],
    ],
    [
      'tells of everything that is in the way',
      release('2.0.0', { isBlocked: true, isApproved: false }),
      [],
      { os: 'darwin' },
      ['release_blocked', 'release_not_approved', 'no_variant'],
    ],
  ])('%s', (_, target, others, subject, expected) => expect(told(target, others, subject)).toEqual(expected));
});

it('names the latest of the migrations that keep a node from going back, in whatever order releases come', () => {
  const left = ['1.5.0', '2.0.0'].map((version) => release(version, { migrations: [migration(false)] }));
  const named = [left, [...left].reverse()].map(
    (releases) => versionPath(release('1.0.0'), { ...NODE, fromVersion: '2.0.0' }, releases).obstacles,
  );
  const message = 'Migration m of version 2.0.0 cannot be undone.';
  expect(named).toEqual(Array(2).fill([{ code: 'downgrade_not_possible', message }]));
});

const range = fc
  .tuple(fc.constantFrom('>=', '<', '^', '~', ''), fc.nat(4), fc.nat(2))
  .map(([sign, major, minor]) => `${sign}${major}.${minor}.0`);
const facts = fc
  .record({
    version: fc
      .tuple(fc.nat(4), fc.nat(2), fc.constantFrom('', '-rc.1'))
      .map(([major, minor, pre]) => `${major}.${minor}.0${pre}`),
    isApproved: fc.integer({ min: 0, max: 5 }).map((n) => n > 0),
    isBlocked: fc.integer({ min: 0, max: 5 }).map((n) => n === 0),
    fromVersions: fc.option(fc.array(range, { minLength: 1, maxLength: 2 }), { freq: 2 }),
    migrations: fc.array(
      fc.integer({ min: 0, max: 3 }).map((n) => migration(n > 0)),
      { maxLength: 1 },
    ),
    artifacts: fc.constantFrom([{ os: 'linux', arch: 'x64', sha256: '', size: 0, isStored: true }], []),
  })
  .map(({ version, ...change }) => release(version, change));
const product = fc.uniqueArray(facts, { selector: ({ version }) => version, minLength: 1, maxLength: 7 });

/** The length of the shortest way up, by trying them all; null: there is none. */
function shortestUp(target: ReleaseFacts, from: string, releases: readonly ReleaseFacts[]): number | null {
  const maySet = new Set(releases.filter((each) => releaseObstacles(each, NODE).length === 0));
  const walk = (at: string): number => {
    const steps = [...maySet].filter(
      (each) =>
        compareVersions(each.version, at) > 0 &&
        compareVersions(each.version, target.version) <= 0 &&
        versionPath(each, { ...NODE, fromVersion: at }, [each]).steps?.length === 1,
    );
    return Math.min(
      ...steps.map((each) => (each === target ? 1 : 1 + walk(each.version))),
      Number.POSITIVE_INFINITY,
    );
  };
  const length = walk(from);
  return Number.isFinite(length) ? length : null;
}

describe('any product', () => {
  it('has a way up exactly where steps that may be taken lead there, and takes the shortest', () => {
    fc.assert(
      fc.property(product, fc.nat(4), (releases, major) => {
        const from = `${major}.0.0`;
        const target = releases[0] as ReleaseFacts;
        if (compareVersions(target.version, from) <= 0) return;
        const { steps } = versionPath(target, { ...NODE, fromVersion: from }, releases);
        expect(steps?.length ?? null).toBe(shortestUp(target, from, releases));
        let at = from;
        for (const step of steps ?? []) {
          expect(compareVersions(step.version, at)).toBeGreaterThan(0);
          expect(versionPath(step, { ...NODE, fromVersion: at }, [step]).steps).toEqual([step]);
          at = step.version;
        }
        if (steps !== null) expect(at).toBe(target.version);
      }),
      { numRuns: 500 },
    );
  });

  it('never leads to, or over, what is blocked, not approved or without an artifact, nor past a final migration', () => {
    fc.assert(
      fc.property(product, fc.nat(4), fc.nat(2), (releases, major, minor) => {
        const from = `${major}.${minor}.0`;
        for (const target of releases) {
          const { steps } = versionPath(target, { ...NODE, fromVersion: from }, releases);
          for (const step of steps ?? []) expect(releaseObstacles(step, NODE)).toEqual([]);
          if (steps === null || compareVersions(target.version, from) >= 0) continue;
          const left = releases.filter(
            ({ version }) =>
              compareVersions(version, target.version) > 0 && compareVersions(version, from) <= 0,
          );
          expect(left.flatMap(({ migrations }) => migrations).every((each) => each.downgradePossible)).toBe(
            true,
          );
        }
      }),
      { numRuns: 500 },
    );
  });

  it('gives the same way whatever the order in which its releases come', () => {
    fc.assert(
      fc.property(product, fc.nat(4), (releases, major) => {
        const subject = { ...NODE, fromVersion: `${major}.0.0` };
        const target = releases[0] as ReleaseFacts;
        expect(versionPath(target, subject, [...releases].reverse())).toEqual(
          versionPath(target, subject, releases),
        );
      }),
    );
  });
});
