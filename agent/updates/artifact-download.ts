import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdir, open, readdir, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { syncFolder } from '../atomic-file.js';
import type { Log } from '../log.js';
import type { ArtifactSource } from './artifact-source.js';
import type { ContentId } from './release-manifest.js';

const PART = '.part';

/** What came from the last source, which alone brought all of it, has another digest or size than it must have. */
export class WrongContent extends Error {
  constructor(source: string, { sha256 }: ContentId) {
    super(`what ${source} gave is not the file ${sha256}`);
    this.name = 'WrongContent';
  }
}

/**
 * Files of one folder, each named by its digest and there only when it is whole and right. A download that broke off,
 * or was killed, goes on where it was. One download of a file at a time.
 */
export class ArtifactDownloads {
  constructor(
    private readonly folder: string,
    private readonly log: Log,
  ) {}

  /**
   * The path of the file, durable and of the right digest, from the first source that has it. Sources are asked in
   * order; of what one has given another gives the rest.
   * @throws WrongContent when the last source gave other bytes
   * @throws what the last source threw; another try goes on from here
   */
  async fetch(file: ContentId, sources: readonly ArtifactSource[], signal: AbortSignal): Promise<string> {
    await this.prepare();
    const path = this.pathOf(file);
    if (await isContent(path, file)) return path;
    await rm(path, { force: true });
    let failure: unknown = new Error('there is no source');
    for (const source of sources) {
      try {
        await this.fetchFrom(source, file, signal);
        return path;
      } catch (error) {
        if (signal.aborted) throw error;
        failure = error;
        if (error instanceof WrongContent) source.gaveWrong?.(file);
        const detail = (error as Error).message;
        this.log.warn('download.failed', { sha256: file.sha256, source: source.name, detail });
      }
    }
    throw failure;
  }

  /** Bytes of the file that are here and need not be asked for again. */
  async held(file: ContentId): Promise<number> {
    return (await sizeOf(this.pathOf(file))) ?? (await sizeOf(this.part(file))) ?? 0;
  }

  /** Removes every file but these, half ones too. */
  async keepOnly(files: readonly Pick<ContentId, 'sha256'>[]): Promise<void> {
    const kept = new Set(files.flatMap(({ sha256 }) => [sha256, `${sha256}${PART}`]));
    const names = await readdir(this.folder).catch(() => []);
    const gone = names.filter((name) => !kept.has(name));
    await Promise.all(gone.map((name) => rm(join(this.folder, name), { recursive: true, force: true })));
  }

  private async fetchFrom(source: ArtifactSource, file: ContentId, signal: AbortSignal): Promise<void> {
    const part = this.part(file);
    const held = (await sizeOf(part)) ?? 0;
    if (held < file.size || held === 0) await this.readFrom(source, file, held, signal);
    if (await isContent(part, file)) {
      await rename(part, this.pathOf(file));
      await syncFolder(this.folder);
      return;
    }
    await rm(part, { force: true });
    // What was here before may be to blame: it is asked for all of it, once.
    if (held > 0) return this.fetchFrom(source, file, signal);
    throw new WrongContent(source.name, file);
  }

  private async readFrom(
    source: ArtifactSource,
    file: ContentId,
    from: number,
    signal: AbortSignal,
  ): Promise<void> {
    const take = async (start: number, chunks: AsyncIterable<Uint8Array>): Promise<void> => {
      if (start !== from && start !== 0)
        throw new Error(`${source.name} gave another part than was asked for`);
      const handle = await open(this.part(file), start === 0 ? 'w' : 'a', 0o600);
      try {
        let size = start;
        for await (const chunk of chunks) {
          await handle.appendFile(chunk);
          size += chunk.byteLength;
          if (size > file.size) break; // larger than it may be: nobody needs to read on
        }
        await handle.sync();
        if (size < file.size) throw new Error(`${source.name} gave ${size} of ${file.size} bytes`);
      } finally {
        await handle.close();
      }
    };
    await source.read(file, from, take, signal);
  }

  /** Where the file is, or will be. */
  pathOf({ sha256 }: Pick<ContentId, 'sha256'>): string {
    return join(this.folder, sha256);
  }

  /** Makes the folder, and tells which it is. */
  async prepare(): Promise<string> {
    await mkdir(this.folder, { recursive: true, mode: 0o700 });
    return this.folder;
  }

  private part(file: ContentId): string {
    return `${this.pathOf(file)}${PART}`;
  }
}

/** Whether the file is there and is what its digest says; read from the disk. */
export async function isContent(path: string, { sha256, size }: ContentId): Promise<boolean> {
  if ((await sizeOf(path)) !== size) return false;
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(path)) hash.update(chunk as Buffer);
  return hash.digest('hex') === sha256;
}

async function sizeOf(path: string): Promise<number | null> {
  try {
    return (await stat(path)).size;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
}
