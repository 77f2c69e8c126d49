import { createHash, randomUUID } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { createFileDurably, readFileIfExists, writeFileDurably } from './durable-file.js';
import { isRunning, ownIdentity, type ProcessIdentity } from './process-identity.js';
import { StartupError } from './startup-error.js';

/** A directory held by this process alone until `release`; the end of the process releases it too. */
export interface DirectoryLock {
  release(): Promise<void>;
}

/** Five seconds: whoever takes a dead lock over needs a few milliseconds. Only a broken file system gets this far. */
const MAX_ATTEMPTS = 500;
const LOOK_AGAIN_MS = 10;

/**
 * Takes `<directory>/lock` for this process. The lock of a process that has ended is taken over.
 * @throws StartupError naming the process and the directory, when another one holds it
 */
export async function lockDirectory(directory: string): Promise<DirectoryLock> {
  const path = join(directory, 'lock');
  // Told apart from every other lock, of this process too.
  const own = `${JSON.stringify({ ...ownIdentity(), nonce: randomUUID() })}\n`;
  for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt += 1) {
    if (await createFileDurably(path, own)) return { release: () => release(path, own) };
    const seen = await readFileIfExists(path);
    if (seen === null) continue;
    const holder = parse(seen);
    if (holder !== null && isRunning(holder)) throw inUse(directory, holder.pid);
    if (await takeOver(path, seen, own)) return { release: () => release(path, own) };
    await sleep(LOOK_AGAIN_MS);
  }
  throw new StartupError(`The lock ${path} can be neither taken nor read; remove it if nothing uses it.`);
}

/**
 * Replaces the dead content that was read as `seen`; false when it is another's turn. Between reading and replacing,
 * another starter may have taken over already, so the right to replace this very content is a file of its own, which
 * one starter alone can make. Should that one die on the way, its right is taken over in the same manner.
 */
async function takeOver(path: string, seen: string, own: string): Promise<boolean> {
  const right = `${path}.${createHash('sha256').update(seen).digest('hex').slice(0, 16)}`;
  if (!(await createFileDurably(right, own))) {
    const other = await readFileIfExists(right);
    const taker = other === null ? null : parse(other);
    if (other === null || (taker !== null && isRunning(taker))) return false;
    if (!(await takeOver(right, other, own))) return false;
  }
  try {
    if ((await readFileIfExists(path)) !== seen) return false;
    await writeFileDurably(path, own);
    return true;
  } finally {
    await release(right, own);
  }
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
