import { compare } from 'semver';

/** A release as far as it matters whether a node may have it. */
export interface ReleaseFacts {
  version: string;
  /** Approved, its signatures having been checked when it was published. */
  isApproved: boolean;
  isBlocked: boolean;
  /** `os/arch` of its artifacts that are there. */
  platforms: ReadonlySet<string>;
}

/** What is known of a node and of the releases of a product. */
export interface VersionFacts {
  installed: string | null;
  lastKnownGood: string | null;
  platform: string;
  release(version: string): ReleaseFacts | undefined;
  /** The next version on the way between two, no stop left out; null where there is no way. Down it goes in one step,
   *  and only where every migration of every release that is left behind can be undone. From nowhere (null) it is the
   *  version itself, where the node can install it. */
  nextOnPath(from: string | null, to: string): string | null;
}

/** The releases as they are for nodes that are alike. */
export type KnownVersions = Pick<VersionFacts, 'release' | 'nextOnPath'>;

export type Refusal =
  | 'release_unknown'
  | 'release_not_approved'
  | 'release_blocked'
  | 'no_artifact_for_platform'
  | 'no_version_path'
  | 'downgrade_not_possible';

export type Usability = { kind: 'usable'; version: string } | { kind: 'refused'; refusal: Refusal };

/** Stands behind every rule, pins included: what may be installed next on the way to a version. */
export function isUsable(wanted: string, facts: VersionFacts): Usability {
  const refusal = refusalOf(wanted, facts);
  if (refusal !== null) return { kind: 'refused', refusal };
  const { installed } = facts;
  if (installed === wanted) return { kind: 'usable', version: wanted };
  if (installed !== null && compare(wanted, installed) < 0) return downgrade(wanted, installed, facts);
  const next = facts.nextOnPath(installed, wanted);
  if (next === null) return { kind: 'refused', refusal: 'no_version_path' };
  const refusalOfStop = next === wanted ? null : refusalOf(next, facts);
  return refusalOfStop === null
    ? { kind: 'usable', version: next }
    : { kind: 'refused', refusal: refusalOfStop };
}

/** What the installed version and those below it have done to data must be undone by going back. */
function downgrade(wanted: string, installed: string, { nextOnPath }: VersionFacts): Usability {
  return nextOnPath(installed, wanted) === null
    ? { kind: 'refused', refusal: 'downgrade_not_possible' }
    : { kind: 'usable', version: wanted };
}

function refusalOf(version: string, { platform, release }: VersionFacts): Refusal | null {
  const known = release(version);
  if (known === undefined) return 'release_unknown';
  if (!known.isApproved) return 'release_not_approved';
  if (known.isBlocked) return 'release_blocked';
  return known.platforms.has(platform) ? null : 'no_artifact_for_platform';
}
