import { Alarm } from '../alarm.js';
import { effectiveRoles } from '../effective-roles.js';
import { afterFailure, type LoopContext } from '../loop.js';
import type { NodeApi } from '../node-api.js';
import type { Snapshot } from '../snapshot.js';
import type { ArtifactSource } from '../updates/artifact-source.js';
import type { ContentId } from '../updates/release-manifest.js';
import type { CacheOptions } from './cache-options.js';
import type { CacheServer } from './cache-server.js';
import type { Mirror } from './mirror.js';

export const CACHE_ROLE = 'update-cache';
/** A file that was not there yet is asked for again after this; counts are told no more often. */
const LOOK_AGAIN_MS = 60_000;

/**
 * Keeps what the node's snapshot lists and serves it to others, as long as the role holds and the host lets it. All else
 * of the node goes on whatever becomes of it.
 */
export class CacheKeeper {
  private readonly alarm = new Alarm();
  private wanted: readonly ContentId[] | null = null;
  /** Ends the downloads for a list that is none any more. */
  private round = new AbortController();
  private said = '';

  constructor(
    private readonly options: CacheOptions,
    private readonly mirror: Mirror,
    private readonly server: CacheServer,
    private readonly source: ArtifactSource,
    private readonly api: NodeApi,
    private readonly context: LoopContext,
  ) {}

  /** Takes on what `snapshot` lists at `now`. What it does not list is served no more when this returns. */
  apply(snapshot: Snapshot | null, now: Date): void {
    const mayServe = snapshot !== null && effectiveRoles(snapshot, now).includes(CACHE_ROLE);
    const wanted = mayServe ? (snapshot.mirror ?? []) : null;
    if (keyOf(wanted) === keyOf(this.wanted)) return;
    this.wanted = wanted;
    this.mirror.list(wanted ?? []);
    this.round.abort();
    this.alarm.ring();
  }

  /** Certificate, roots or lists have changed. */
  trustChanged(): void {
    this.server.trustChanged();
    this.alarm.ring();
  }

  /** Keeps until stopped. @throws IdentityRefused */
  async run(): Promise<void> {
    const { stop } = this.context;
    const onStop = (): void => this.round.abort();
    stop.addEventListener('abort', onStop, { once: true });
    try {
      for (let failures = 0; !stop.aborted; ) {
        this.round = new AbortController();
        let waitMs = LOOK_AGAIN_MS;
        try {
          await this.keep(this.round.signal);
          failures = 0;
        } catch (error) {
          waitMs = afterFailure(error, 'cache.failed', failures, this.context);
          failures += 1;
        }
        await this.alarm.sleep(waitMs, stop);
      }
    } finally {
      stop.removeEventListener('abort', onStop);
      await this.server.close();
    }
  }

  private async keep(signal: AbortSignal): Promise<void> {
    if (this.wanted === null) await this.server.close();
    else if (!this.server.isListening) await this.server.open(this.options.listen);
    await this.tell();
    await this.mirror.fill(this.source, signal, () => this.tell());
  }

  /** Says where it serves and what it holds, where that is news. */
  private async tell(): Promise<void> {
    const { mirror, server, options } = this;
    const json = {
      url: server.isListening ? options.url : null,
      held: mirror.held,
      usedBytes: mirror.usedBytes,
      capacityBytes: options.maxBytes,
      servedFiles: server.servedFiles,
    };
    const text = JSON.stringify(json);
    if (text === this.said) return;
    await this.api.send({ method: 'PUT', path: '/update-cache', json });
    this.said = text;
  }
}

function keyOf(files: readonly ContentId[] | null): string {
  return files === null ? 'none' : files.map(({ sha256 }) => sha256).join(' ');
}
