import { createHash, randomUUID } from 'node:crypto';
import { mkdir, open, readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { errorCode } from '../../common/database/embedded/durable-file.js';
import { invalid, malformed, unavailable } from '../../common/errors/domain-error.js';
import type { ContentId } from './artifact-store.js';

/** A file that nothing was written to for so long belongs to an upload that died with its process. */
const PATIENCE_MS = 3_600_000;

/** Files on their way in: written as they arrive, and either handed on whole and checked, or gone. */
export class ArtifactSpool {
  private sweptAt = 0;

  constructor(private readonly directory: string) {}

  /**
   * Writes `bytes` down, holding them against `content` while they arrive.
   * @returns the path of the file, which is the caller's from here on
   * @throws invalid `digest_mismatch`; malformed when the body breaks off; unavailable when there is no room. Nothing is
   * left then.
   */
  async receive(bytes: Readable, content: ContentId): Promise<string> {
    await this.prepare();
    const path = join(this.directory, randomUUID());
    try {
      await this.write(path, bytes, content);
      return path;
    } catch (error) {
      await rm(path, { force: true });
      throw error;
    }
  }

  /** Removes a file that was not handed on; harmless when it was. */
  discard(path: string): Promise<void> {
    return rm(path, { force: true });
  }

  /** Removes what uploads have left that died with their process. */
  async sweep(now = Date.now()): Promise<void> {
    this.sweptAt = now;
    for (const name of await namesIn(this.directory)) {
      const path = join(this.directory, name);
      const mtimeMs = await stat(path).then(
        (found) => found.mtimeMs,
        () => now,
      );
      if (now - mtimeMs > PATIENCE_MS) await rm(path, { force: true });
    }
  }

  private async write(path: string, bytes: Readable, { sha256, size }: ContentId): Promise<void> {
    const hash = createHash('sha256');
    let received = 0;
    const file = await open(path, 'wx', 0o600);
    try {
      for await (const chunk of readable(bytes)) {
        received += chunk.length;
        if (received > size) throw digestMismatch(`The manifest says ${size} bytes; there are more.`);
        hash.update(chunk);
        await file.writeFile(chunk);
      }
      if (received < size) throw digestMismatch(`The manifest says ${size} bytes; these are ${received}.`);
      const digest = hash.digest('hex');
      if (digest !== sha256) throw digestMismatch(`The manifest says ${sha256}; this is ${digest}.`);
      await file.sync();
    } catch (error) {
      if (errorCode(error) !== 'ENOSPC' && errorCode(error) !== 'EDQUOT') throw error;
      throw unavailable('unavailable', 'There is no room for the file.', { cause: error });
    } finally {
      await file.close();
    }
  }

  private async prepare(): Promise<void> {
    await mkdir(this.directory, { recursive: true, mode: 0o700 });
    if (Date.now() - this.sweptAt > PATIENCE_MS) await this.sweep();
  }
}

export function digestMismatch(detail: string) {
  return invalid('digest_mismatch', detail);
}

/** The chunks; a connection that breaks is the caller's doing. */
async function* readable(bytes: Readable): AsyncIterable<Buffer> {
  try {
    // Not destroyed when the loop is left: the answer goes over the same connection.
    for await (const chunk of bytes.iterator({ destroyOnReturn: false })) yield chunk as Buffer;
  } catch (cause) {
    throw malformed('malformed_request', 'The body broke off.', { cause });
  }
}

async function namesIn(directory: string): Promise<string[]> {
  try {
    return await readdir(directory);
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return [];
    throw error;
  }
}
