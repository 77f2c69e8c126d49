import { spawnSync } from 'node:child_process';
import { readdir, readFile, readlink, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { errorCode, readFileIfExists } from './durable-file.js';
import type { PostgresBinaries } from './postgres-binaries.js';
import { isAlive } from './process-identity.js';
import { type CommandResult, runCommand, type SystemUser } from './run-command.js';

/** A running Postgres server of ours. */
export interface Postmaster {
  pid: number;
  port: number;
  /** Its program has been replaced on disk since it was started. */
  outdated: boolean;
}

/** What is needed to start and stop one. */
export interface PostmasterOptions {
  directory: string;
  binaries: PostgresBinaries;
  user: SystemUser | null;
}

/** Recovery after a crash may take long with much to replay. */
const START_SECONDS = 300;
/** A fast stop ends all sessions and writes a checkpoint. */
const STOP_SECONDS = 60;

/** The server that runs on `directory` right now, be it still starting or already stopping; null for none. */
export async function findPostmaster(directory: string): Promise<Postmaster | null> {
  const { pid, port } = (await readPidFile(directory)) ?? { pid: 0, port: 0 };
  if (pid <= 0 || !isAlive(pid) || !(await servesDirectory(pid, directory))) return null;
  return { pid, port, outdated: await isOutdated(pid) };
}

/**
 * Removes a `postmaster.pid` whose number now belongs to a stranger or a zombie, which Postgres would take for
 * a live server. To be called only when `findPostmaster` found none. Where the number is free Postgres recovers
 * by itself; and it still refuses to start beside survivors of the old server, known by their shared memory.
 */
export async function removeMisleadingPidFile(directory: string): Promise<void> {
  const { pid } = (await readPidFile(directory)) ?? { pid: 0 };
  if (pid <= 0) return;
  try {
    process.kill(pid, 0);
  } catch (error) {
    if (errorCode(error) === 'ESRCH') return;
  }
  await rm(join(directory, 'postmaster.pid'), { force: true });
}

/** Starts the server and waits until it takes connections. On failure `output` says why. */
export async function startPostmaster({
  directory,
  binaries,
  user,
}: PostmasterOptions): Promise<CommandResult> {
  const startupLog = join(directory, 'startup.log');
  await rm(startupLog, { force: true });
  const wait = ['-w', '-t', String(START_SECONDS)];
  const result = await runCommand(
    binaries.pgCtl,
    ['start', '-D', directory, '-l', startupLog, ...wait],
    user,
  );
  if (result.ok) return result;
  const texts = [await readFileIfExists(startupLog), await latestLog(directory), result.output];
  return { ok: false, output: texts.filter((text) => text !== null).join('\n') };
}

/** Ends all sessions and stops the server; returns when it is gone. Does nothing when it is gone already. */
export async function stopPostmaster({
  directory,
  binaries,
  user,
}: PostmasterOptions): Promise<CommandResult> {
  if ((await findPostmaster(directory)) === null) return { ok: true, output: '' };
  const stop = ['stop', '-D', directory, '-w', '-t', String(STOP_SECONDS), '-m'];
  const result = await runCommand(binaries.pgCtl, [...stop, 'fast'], user);
  if (result.ok || (await findPostmaster(directory)) === null) return { ok: true, output: '' };
  // Safe, only slower: the next start replays the log as after a crash.
  return runCommand(binaries.pgCtl, [...stop, 'immediate'], user);
}

/** Lines of `postmaster.pid`: pid, data directory, start time, port, ... */
async function readPidFile(directory: string): Promise<{ pid: number; port: number } | null> {
  const text = await readFileIfExists(join(directory, 'postmaster.pid'));
  if (text === null) return null;
  const lines = text.split('\n');
  return { pid: Number.parseInt(lines[0] ?? '', 10) || 0, port: Number.parseInt(lines[3] ?? '', 10) || 0 };
}

/** By its command line, which everybody may read; its working directory only root with all capabilities may. */
async function servesDirectory(pid: number, directory: string): Promise<boolean> {
  if (process.platform === 'win32') return true;
  if (process.platform === 'linux') {
    const args = ((await readFileIfExists(`/proc/${pid}/cmdline`)) ?? '').split('\0');
    return /(^|\/)postgres$/.test(args[0] ?? '') && args.includes(directory);
  }
  const ps = spawnSync('ps', ['-ww', '-o', 'command=', '-p', String(pid)], { encoding: 'utf8' });
  return ps.stdout.includes('postgres') && ps.stdout.includes(directory);
}

async function isOutdated(pid: number): Promise<boolean> {
  if (process.platform !== 'linux') return false;
  return (await readlink(`/proc/${pid}/exe`).catch(() => '')).endsWith(' (deleted)');
}

async function latestLog(directory: string): Promise<string | null> {
  const folder = join(directory, 'log');
  const day = new Intl.DateTimeFormat('en-US', { weekday: 'short', timeZone: 'UTC' }).format(new Date());
  const names = await readdir(folder).catch(() => []);
  const name = names.find((candidate) => candidate === `postgres-${day}.log`);
  return name === undefined ? null : (await readFile(join(folder, name), 'utf8')).slice(-2_000);
}
