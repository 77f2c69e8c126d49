import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { v4 as uuid } from 'uuid';
import { createFileAtomic, readFileIfPresent } from '../atomic-file.js';
import { ROTATION_REQUEST_FILE } from '../state-store.js';

/**
 * The one file that a process without the directory's lock may make: the wish of an operator for a new identity key,
 * which the running agent fulfils. A file rather than a signal, because it outlives the agent: killed half-way, the
 * next one finds it, and its id says whether it was fulfilled already.
 */
export class RotationRequests {
  private readonly path: string;

  constructor(directory: string) {
    this.path = join(directory, ROTATION_REQUEST_FILE);
  }

  /** Leaves a request and returns its id; when there is one already, that one's. */
  async ask(): Promise<string> {
    const id = uuid();
    const content = `${JSON.stringify({ id, requestedAt: new Date().toISOString() })}\n`;
    for (;;) {
      if (await createFileAtomic(this.path, content)) return id;
      const standing = await this.find();
      if (standing !== null) return standing;
    }
  }

  /** The id of the request that stands; null when there is none. */
  async find(): Promise<string | null> {
    const text = await readFileIfPresent(this.path);
    if (text === null) return null;
    try {
      const { id } = JSON.parse(text) as { id?: unknown };
      if (typeof id === 'string') return id;
    } catch {
      // Not ours: it is removed like one that was.
    }
    await this.clear();
    return null;
  }

  async clear(): Promise<void> {
    await rm(this.path, { force: true });
  }
}
