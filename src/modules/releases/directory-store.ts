import { mkdir, open, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Readable } from 'node:stream';
import { errorCode, syncDirectory } from '../../common/database/embedded/durable-file.js';
import { unavailable } from '../../common/errors/domain-error.js';
import type { ArtifactStore, ContentId } from './artifact-store.js';
import type { ByteRange } from './byte-range.js';

/** Keeps artifacts in a directory, one file each. Several instances share it over any file system that renames whole. */
export class DirectoryStore implements ArtifactStore {
  constructor(private readonly root: string) {}

  async place(path: string, { sha256 }: ContentId): Promise<void> {
    const target = this.pathOf(sha256);
    await mkdir(dirname(target), { recursive: true, mode: 0o700 });
    // In the place of the same content, if there is any: whoever reads that goes on reading it.
    await rename(path, target);
    await syncDirectory(dirname(target));
    await syncDirectory(dirname(dirname(target)));
  }

  async open({ sha256 }: ContentId, range: ByteRange | null): Promise<Readable> {
    try {
      const file = await open(this.pathOf(sha256), 'r');
      return file.createReadStream(range ?? {});
    } catch (cause) {
      if (errorCode(cause) !== 'ENOENT') throw cause;
      throw unavailable('unavailable', 'The store of artifacts does not have this file.', { cause });
    }
  }

  async remove(sha256: string): Promise<void> {
    await rm(this.pathOf(sha256), { force: true });
  }

  /** A level of folders, so that none grows large. */
  private pathOf(sha256: string): string {
    return join(this.root, 'sha256', sha256.slice(0, 2), sha256);
  }
}
