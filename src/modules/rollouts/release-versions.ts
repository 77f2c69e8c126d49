import { type ReleaseFacts, type UpdateSubject, versionPath } from '../releases/version-rules.js';
import type { KnownVersions, ReleaseFacts as RuleFacts } from './engine/version-filters.js';

/** The releases of a product, as the rules of rollouts see them. */
export class ReleaseVersions {
  private readonly byVersion: ReadonlyMap<string, ReleaseFacts>;
  private readonly asRules = new Map<string, RuleFacts>();
  private readonly paths = new Map<string, readonly string[] | null>();
  private readonly kinds = new Map<string, KnownVersions>();

  constructor(private readonly releases: readonly ReleaseFacts[]) {
    this.byVersion = new Map(releases.map((release) => [release.version, release]));
  }

  find(version: string): ReleaseFacts | null {
    return this.byVersion.get(version) ?? null;
  }

  /** As they are for a node: the same object for all that are alike, so that a way is looked for once. */
  for({ os, arch, agentVersion }: Omit<UpdateSubject, 'fromVersion'>): KnownVersions {
    const kind = `${os} ${arch} ${agentVersion}`;
    const known = this.kinds.get(kind);
    if (known !== undefined) return known;
    const versions: KnownVersions = {
      release: (version) => this.asRule(version),
      nextOnPath: (fromVersion, to) => this.path({ os, arch, agentVersion, fromVersion }, to)?.[0] ?? null,
    };
    this.kinds.set(kind, versions);
    return versions;
  }

  /** Every version that a node comes to on its way, the last one included; none, where there is no way. */
  wayOf(subject: UpdateSubject, to: string): readonly string[] {
    return this.path(subject, to) ?? [];
  }

  /** Whether a node on any of these versions could come back from the last of them. */
  canUndo(versions: Iterable<string>): boolean {
    return [...versions].every((version) =>
      (this.byVersion.get(version)?.migrations ?? []).every(({ downgradePossible }) => downgradePossible),
    );
  }

  /** The same for every node. */
  private asRule(version: string): RuleFacts | undefined {
    const known = this.asRules.get(version);
    const found = this.byVersion.get(version);
    if (known !== undefined || found === undefined) return known;
    const { isApproved, isBlocked, artifacts } = found;
    const stored = artifacts.filter(({ isStored }) => isStored);
    const facts = {
      version,
      isApproved,
      isBlocked,
      platforms: new Set(stored.map(({ os, arch }) => `${os}/${arch}`)),
    };
    this.asRules.set(version, facts);
    return facts;
  }

  private path(subject: UpdateSubject, to: string): readonly string[] | null {
    const key = [subject.os, subject.arch, subject.agentVersion, subject.fromVersion, to].join(' ');
    const known = this.paths.get(key);
    if (known !== undefined) return known;
    const target = this.byVersion.get(to);
    const path = target === undefined ? null : versionPath(target, subject, this.releases);
    const steps = path?.steps?.map(({ version }) => version) ?? null;
    this.paths.set(key, steps);
    return steps;
  }
}
