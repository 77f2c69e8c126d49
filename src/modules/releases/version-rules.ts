import { compareVersions, isInRange, isVersion } from './semantic-version.js';

/** What the use of a release depends on. */
export interface ReleaseFacts {
  releaseId: string;
  productId: string;
  version: string;
  isApproved: boolean;
  isBlocked: boolean;
  /** null: any agent installs it. */
  minAgentVersion: string | null;
  /** Ranges of versions from which a node may go to it in one step, any of them; null: from all. */
  fromVersions: readonly string[] | null;
  artifacts: readonly ArtifactFacts[];
  migrations: readonly MigrationFacts[];
}

export interface ArtifactFacts {
  os: string;
  arch: string;
  /** Hexadecimal. */
  sha256: string;
  size: number;
  /** Whether its bytes are there. */
  isStored: boolean;
}

export interface MigrationFacts {
  id: string;
  sourceVersion: string;
  targetVersion: string;
  downgradePossible: boolean;
}

/** What a node is, as far as versions go. */
export interface UpdateSubject {
  os: string;
  arch: string;
  /** null: unknown, so that no lower bound can be met. */
  agentVersion: string | null;
  /** What it runs now; null: nothing, so that it installs and does not update. */
  fromVersion: string | null;
}

/** Why a node does not go to a version. */
export type ObstacleCode =
  | 'release_not_approved'
  | 'release_blocked'
  | 'no_variant'
  | 'agent_too_old'
  | 'from_version_unknown'
  | 'from_version_incompatible'
  | 'downgrade_not_possible'
  | 'no_path';

export interface Obstacle {
  code: ObstacleCode;
  message: string;
}

/** The next version on a node's way, and the whole way; or why there is none. */
export type VersionPath =
  | { steps: readonly [ReleaseFacts, ...ReleaseFacts[]]; obstacles: null }
  /** It is there already. */
  | { steps: readonly []; obstacles: null }
  | { steps: null; obstacles: readonly [Obstacle, ...Obstacle[]] };

/** The artifact for the node's system; null: there is none. */
export function variantFor({ artifacts }: ReleaseFacts, { os, arch }: UpdateSubject): ArtifactFacts | null {
  return artifacts.find((artifact) => artifact.os === os && artifact.arch === arch) ?? null;
}

/**
 * What keeps the release from the node whichever way it would come there: the filters that stand last on every branch,
 * pins included.
 */
export function releaseObstacles(release: ReleaseFacts, subject: UpdateSubject): Obstacle[] {
  const { version, minAgentVersion } = release;
  const obstacles: Obstacle[] = [];
  const add = (code: ObstacleCode, message: string) => obstacles.push({ code, message });
  if (release.isBlocked) add('release_blocked', `Version ${version} is blocked.`);
  if (!release.isApproved) add('release_not_approved', `Version ${version} is not approved.`);
  if (variantFor(release, subject) === null)
    add('no_variant', `Version ${version} has no artifact for ${subject.os}/${subject.arch}.`);
  if (minAgentVersion !== null && !isAtLeast(subject.agentVersion, minAgentVersion))
    add('agent_too_old', `Version ${version} needs an agent of ${minAgentVersion} or later.`);
  return obstacles;
}

/**
 * The way of a node to a version: at once where the release allows that, else over the fewest releases that do, and of
 * those the latest. Back it goes in one step or not at all, and only if every migration on the way can be undone.
 * @param releases all of the product, in any order
 */
export function versionPath(
  target: ReleaseFacts,
  subject: UpdateSubject,
  releases: readonly ReleaseFacts[],
): VersionPath {
  const [first, ...rest] = releaseObstacles(target, subject);
  if (first !== undefined) return { steps: null, obstacles: [first, ...rest] };
  const { fromVersion } = subject;
  if (fromVersion === null) return { steps: [target], obstacles: null };
  if (!isVersion(fromVersion)) return mayComeFromUnknown(target, fromVersion);
  const order = compareVersions(fromVersion, target.version);
  if (order === 0) return { steps: [], obstacles: null };
  return order > 0
    ? downgrade(target, fromVersion, releases)
    : upgrade(target, fromVersion, subject, releases);
}

function upgrade(
  target: ReleaseFacts,
  fromVersion: string,
  subject: UpdateSubject,
  releases: readonly ReleaseFacts[],
): VersionPath {
  if (mayComeFrom(target, fromVersion)) return { steps: [target], obstacles: null };
  const between = releases
    .filter(
      ({ version }) =>
        compareVersions(version, fromVersion) > 0 && compareVersions(version, target.version) < 0,
    )
    .filter((release) => releaseObstacles(release, subject).length === 0)
    .sort((one, other) => compareVersions(other.version, one.version));
  // Backwards from the target, breadth first, the latest first: the first way that is found is the shortest.
  const ways: [ReleaseFacts, ...ReleaseFacts[]][] = [[target]];
  const seen = new Set<ReleaseFacts>();
  for (const way of ways) {
    const [head] = way;
    for (const floor of between) {
      if (seen.has(floor) || compareVersions(floor.version, head.version) >= 0) continue;
      if (!mayComeFrom(head, floor.version)) continue;
      seen.add(floor);
      if (mayComeFrom(floor, fromVersion)) return { steps: [floor, ...way], obstacles: null };
      ways.push([floor, ...way]);
    }
  }
  const ranges = (target.fromVersions ?? []).join(' or ');
  return {
    steps: null,
    obstacles: [
      {
        code: 'from_version_incompatible',
        message: `Version ${target.version} can be reached from ${ranges}, not from ${fromVersion}.`,
      },
      { code: 'no_path', message: 'No other release that may be installed leads there.' },
    ],
  };
}

function downgrade(
  target: ReleaseFacts,
  fromVersion: string,
  releases: readonly ReleaseFacts[],
): VersionPath {
  // The latest first, as they would be left: the same obstacle is named in whatever order they come.
  const left = releases
    .filter(
      ({ version }) =>
        compareVersions(version, target.version) > 0 && compareVersions(version, fromVersion) <= 0,
    )
    .sort((one, other) => compareVersions(other.version, one.version));
  if (!left.some(({ version }) => compareVersions(version, fromVersion) === 0)) {
    const message = `Nothing is known of version ${fromVersion}, so that going back from it may break its data.`;
    return { steps: null, obstacles: [{ code: 'from_version_unknown', message }] };
  }
  for (const { version, migrations } of left) {
    const final = migrations.find(({ downgradePossible }) => !downgradePossible);
    if (final === undefined) continue;
    const message = `Migration ${final.id} of version ${version} cannot be undone.`;
    return { steps: null, obstacles: [{ code: 'downgrade_not_possible', message }] };
  }
  return { steps: [target], obstacles: null };
}

/** What reports no version of the kind can only go to what may be reached from everywhere. */
function mayComeFromUnknown(target: ReleaseFacts, fromVersion: string): VersionPath {
  if (target.fromVersions === null) return { steps: [target], obstacles: null };
  const message = `${fromVersion} is no version, and version ${target.version} cannot be reached from everywhere.`;
  return { steps: null, obstacles: [{ code: 'from_version_unknown', message }] };
}

function mayComeFrom({ fromVersions }: ReleaseFacts, version: string): boolean {
  return fromVersions === null || fromVersions.some((range) => isInRange(version, range));
}

function isAtLeast(version: string | null, minimum: string): boolean {
  return version !== null && isVersion(version) && compareVersions(version, minimum) >= 0;
}
