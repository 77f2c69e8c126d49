import { randomBytes } from 'node:crypto';
import { rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { createFileDurably, errorCode, readFileIfExists } from './durable-file.js';
import { isRunning, ownIdentity, type ProcessIdentity } from './process-identity.js';
import { StartupError } from './startup-error.js';

/** A directory held by this process alone until `release`; the end of the process releases it too. */
export interface DirectoryLock {
  release(): Promise<void>;
}

/** More than enough for any race of a few starters; only a broken file system gets this far. */
const MAX_ATTEMPTS = 20;

/**
 * Takes `<directory>/lock` for this process. The lock of a process that has ended is taken over.
 * @throws StartupError naming the process and the directory, when another one holds it
 */
export async function lockDirectory(directory: string): Promise<DirectoryLock> {
  const path = join(directory, 'lock');
  const own = `${JSON.stringify(ownIdentity())}\n`;
  for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt += 1) {
    if (await createFileDurably(path, own)) return { release: () => release(path, own) };
    const seen = await readFileIfExists(path);
    if (seen === null) continue;
    const holder = parse(seen);
    if (holder !== null && isRunning(holder)) throw inUse(directory, holder.pid);
    await removeStale(path, seen);
  }
  throw new StartupError(`The lock ${path} can be neither taken nor read; remove it if nothing uses it.`);
}

/**
 * Removes the stale lock that was read as `seen`. Between reading and removing, another starter may have
 * taken over already; moving the file away first makes it possible to look at what was really removed.
 */
async function removeStale(path: string, seen: string): Promise<void> {
  const aside = `${path}.${randomBytes(6).toString('hex')}.stale`;
  try {
    await rename(path, aside);
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return;
    throw error;
  }
  const moved = await readFileIfExists(aside);
  if (moved !== null && moved !== seen) await createFileDurably(path, moved);
  await rm(aside, { force: true });
}

async function release(path: string, own: string): Promise<void> {
  if ((await readFileIfExists(path)) === own) await rm(path, { force: true });
}

function parse(text: string): ProcessIdentity | null {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value !== 'object' || value === null || !('pid' in value)) return null;
    const startedAt = 'startedAt' in value && typeof value.startedAt === 'string' ? value.startedAt : null;
    return typeof value.pid === 'number' ? { pid: value.pid, startedAt } : null;
  } catch {
    return null; // Locks appear complete, so this is none of ours.
  }
}

function inUse(directory: string, pid: number): StartupError {
  return new StartupError(
    `Another copy of the service (process ${pid}) is using the data directory ${directory}: ` +
      'stop it, or give this one its own with FABRIC_DATA_DIR.',
  );
}
