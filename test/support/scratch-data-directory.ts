import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, statfs } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** A throw-away data directory. */
export interface ScratchDataDirectory {
  path: string;
  /** Ends the embedded Postgres on it, if there is one, and removes it. */
  remove(): Promise<void>;
}

/** Some hundred clones of about 10 MB, and the log. */
const SCRATCH_BYTES = 4 * 2 ** 30;

/**
 * Makes a data directory that is removed, with the Postgres on it, when `remove` is called or this process ends,
 * be it by Ctrl-C or kill -9: a watchdog in a session of its own notices by the end of the pipe between them.
 */
export async function createScratchDataDirectory(): Promise<ScratchDataDirectory> {
  const path = await mkdtemp(join(await scratchParent(), 'fabric-test-'));
  const script = fileURLToPath(new URL('./postgres-watchdog.mjs', import.meta.url));
  const watchdog = spawn(process.execPath, [script, path], {
    detached: true,
    env: {},
    stdio: ['pipe', 'ignore', 'ignore'],
  });
  watchdog.unref();
  const ended = once(watchdog, 'exit');
  return {
    path,
    remove: async () => {
      watchdog.ref();
      watchdog.stdin.end();
      await ended;
    },
  };
}

/**
 * Cloning a database makes hundreds of files, which is quick and even only in memory. Containers often have a
 * tiny `/dev/shm`, hence the look at its size.
 */
async function scratchParent(): Promise<string> {
  const memory = await statfs('/dev/shm').catch(() => null);
  return memory !== null && memory.bavail * memory.bsize >= SCRATCH_BYTES ? '/dev/shm' : tmpdir();
}
