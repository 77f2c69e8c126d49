import type { TrustStore } from '../trust/trust-store.js';
import type { ArtifactSource } from '../updates/artifact-source.js';
import type { ContentId } from '../updates/release-manifest.js';
import { CacheSource } from './cache-source.js';
import type { NearCache } from './snapshot-caches.js';

/** Pairs of cache and file that are remembered; beyond it the oldest are forgotten, and asked once more. */
const REMEMBERED = 1_000;

/** Where this node may get files from nearer than the control plane, as its snapshot tells. */
export class NearSources {
  private caches: readonly NearCache[] = [];
  /** What gave wrong bytes once is not asked for that file again. */
  private readonly wrong = new Set<string>();

  constructor(
    private readonly clusterId: string,
    private readonly trust: TrustStore,
  ) {}

  /** Takes on the caches that a snapshot names. */
  apply(caches: readonly NearCache[]): void {
    this.caches = caches;
  }

  /** The caches to ask for `file`, nearest first. The control plane comes after them. */
  of(file: ContentId): ArtifactSource[] {
    return this.caches
      .filter(({ nodeId }) => !this.wrong.has(`${nodeId} ${file.sha256}`))
      .map((cache) => new CacheSource(cache, this.clusterId, this.trust, (bad) => this.drop(cache, bad)));
  }

  private drop({ nodeId }: NearCache, { sha256 }: ContentId): void {
    const [oldest] = this.wrong;
    if (this.wrong.size >= REMEMBERED && oldest !== undefined) this.wrong.delete(oldest);
    this.wrong.add(`${nodeId} ${sha256}`);
  }
}
