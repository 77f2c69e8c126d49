import { createHash, randomUUID } from 'node:crypto';
import { link, mkdir, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { readFileIfPresent } from './atomic-file.js';
import { AgentFailure } from './exit.js';
import { isRunning, processRow } from './process-table.js';

/** A living process holds the directory. */
export class DirectoryInUse extends AgentFailure {
  constructor(directory: string, pid: number) {
    super(`another agent (pid ${pid}) is using ${directory}`);
    this.name = 'DirectoryInUse';
  }
}

/** Which process holds a directory. */
interface Holder {
  pid: number;
  /** Boot id and start time of the process: a number used again after a restart is another process. */
  started: string | null;
  /** Makes the content of every lock another one. */
  nonce: string;
}

/**
 * Takes the directory for this process; one agent a directory. A lock whose process is gone is taken over.
 * Returns the function that gives it back.
 * @throws DirectoryInUse when a living process holds it
 */
export async function lockState(directory: string): Promise<() => Promise<void>> {
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const path = lockPath(directory);
  const holder: Holder = { pid: process.pid, started: startOf(process.pid), nonce: randomUUID() };
  const own = `${JSON.stringify(holder)}\n`;
  const draft = `${path}.${holder.nonce}`;
  await writeFile(draft, own, { mode: 0o600, flag: 'wx' });
  try {
    while (!(await linked(draft, path))) {
      const found = await readFileIfPresent(path);
      if (found === null) continue; // given back this very moment
      assertDead(found, directory);
      if (await takenOver(path, found, draft, directory)) break;
    }
  } finally {
    await rm(draft, { force: true });
  }
  return async () => {
    if ((await readFileIfPresent(path)) === own) await rm(path, { force: true });
  };
}

/**
 * Replaces a dead lock with ours. The right to do so is a file named after the dead lock's content, made in
 * one step and removed only when the lock is no longer that one; whoever has it and still finds the dead
 * lock in place is alone. If its owner died too, the right passes on under the name of that file's content.
 * False: somebody else was faster, look again.
 */
async function takenOver(path: string, dead: string, draft: string, directory: string): Promise<boolean> {
  const rights: string[] = [];
  for (let last = dead; ; ) {
    const right = `${path}.${createHash('sha256').update(last).digest('hex')}`;
    if (await linked(draft, right)) {
      if ((await readFileIfPresent(path)) !== dead) {
        await rm(right, { force: true });
        return false;
      }
      await rename(draft, path);
      await Promise.all([...rights, right].map((name) => rm(name, { force: true })));
      return true;
    }
    const claimed = await readFileIfPresent(right);
    if (claimed === null) return false;
    assertDead(claimed, directory);
    rights.push(right);
    last = claimed;
  }
}

function assertDead(content: string, directory: string): void {
  const holder = parseHolder(content);
  if (holder === null || !isAlive(holder)) return;
  throw new DirectoryInUse(directory, holder.pid);
}

/** The living process that holds the directory, or null. */
export async function lockHolder(directory: string): Promise<number | null> {
  const holder = parseHolder((await readFileIfPresent(lockPath(directory))) ?? '');
  return holder !== null && isAlive(holder) ? holder.pid : null;
}

const lockPath = (directory: string): string => join(directory, 'agent.lock');

/** Creates `path` with the content of `draft` in one step; false when it exists. */
async function linked(draft: string, path: string): Promise<boolean> {
  try {
    await link(draft, path);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  }
}

function parseHolder(text: string): Holder | null {
  try {
    const { pid, started = null, nonce = '' } = JSON.parse(text) as Partial<Holder>;
    return Number.isInteger(pid) ? { pid: Number(pid), started, nonce } : null;
  } catch {
    return null; // a lock that nobody can read holds nothing
  }
}

function isAlive(holder: Holder): boolean {
  try {
    process.kill(holder.pid, 0);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EPERM') return false; // EPERM: alive, of another user
  }
  const row = processRow(holder.pid);
  // It has ended, and whoever started it has not asked for its end yet: it holds nothing any more.
  if (row !== null && !isRunning(row)) return false;
  const started = row?.started ?? null;
  return holder.started === null || started === null || holder.started === started;
}

/** Null where /proc does not tell; then the pid alone decides. */
function startOf(pid: number): string | null {
  return processRow(pid)?.started ?? null;
}
