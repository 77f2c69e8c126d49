import type { Log } from '../log.js';
import type { ArtifactDownloads } from '../updates/artifact-download.js';
import type { ArtifactSource } from '../updates/artifact-source.js';
import type { ContentId } from '../updates/release-manifest.js';

/** The files that fit into `maxBytes`, those first that are needed soonest; one that is too large lets the next ones in. */
export function fitting(files: readonly ContentId[], maxBytes: number): ContentId[] {
  let left = maxBytes;
  return files.filter(({ size }) => {
    if (size > left) return false;
    left -= size;
    return true;
  });
}

/**
 * The files that this host keeps for others. What is served is what is listed now and was found right on disk by this
 * process: what a crash left behind is looked at again before it counts.
 */
export class Mirror {
  private listed: ReadonlyMap<string, ContentId> = new Map();
  private readonly verified = new Map<string, string>();

  constructor(
    private readonly downloads: ArtifactDownloads,
    private readonly maxBytes: number,
    private readonly log: Log,
  ) {}

  /** What may be kept and served from now on; everything else is served no more, from this moment. */
  list(files: readonly ContentId[]): void {
    this.listed = new Map(fitting(files, this.maxBytes).map((file) => [file.sha256, file]));
    for (const sha256 of this.verified.keys()) if (!this.listed.has(sha256)) this.verified.delete(sha256);
  }

  /** A file that is listed and here, with its path. */
  find(sha256: string): { file: ContentId; path: string } | null {
    const [file, path] = [this.listed.get(sha256), this.verified.get(sha256)];
    return file === undefined || path === undefined ? null : { file, path };
  }

  get held(): string[] {
    return [...this.verified.keys()].sort();
  }

  get usedBytes(): number {
    return this.held.reduce((sum, sha256) => sum + (this.listed.get(sha256)?.size ?? 0), 0);
  }

  /**
   * Throws away what is not listed, then gets what is missing, one file after the other. A file that cannot be had now
   * keeps none of the others away. @returns whether all is here
   * @throws what the last failing source threw, when no file could be had
   */
  async fill(source: ArtifactSource, signal: AbortSignal, onProgress: () => Promise<void>): Promise<boolean> {
    const wanted = [...this.listed.values()];
    await this.downloads.keepOnly(wanted);
    let failure: unknown = null;
    let got = 0;
    for (const file of wanted) {
      if (signal.aborted) return false;
      if (this.verified.has(file.sha256)) continue;
      try {
        const path = await this.downloads.fetch(file, [source], signal);
        // Another list may have come while it was on its way.
        if (this.listed.has(file.sha256)) this.verified.set(file.sha256, path);
        this.log.info('cache.filled', { sha256: file.sha256, size: file.size });
        got += 1;
      } catch (error) {
        if (signal.aborted) return false;
        failure = error;
        continue;
      }
      await onProgress();
    }
    if (failure !== null && got === 0) throw failure;
    return failure === null;
  }
}
