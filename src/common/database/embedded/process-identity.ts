import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { errorCode } from './durable-file.js';

/** A process that cannot be confused with a later one of the same id. */
export interface ProcessIdentity {
  pid: number;
  /** When it started, in a form that is only good for comparing; null where the system does not tell. */
  startedAt: string | null;
}

/** The identity of this process. */
export function ownIdentity(): ProcessIdentity {
  return { pid: process.pid, startedAt: startedAt(process.pid) };
}

/** Whether that very process still runs. A zombie does not; nor does another one that got its id. */
export function isRunning(identity: ProcessIdentity): boolean {
  if (!isAlive(identity.pid)) return false;
  if (identity.startedAt === null) return true;
  const now = startedAt(identity.pid);
  return now === null || now === identity.startedAt;
}

/** Whether any process has this id; one that has ended and only waits to be reaped does not count. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
  } catch (error) {
    // EPERM: it exists and belongs to somebody else.
    return errorCode(error) === 'EPERM';
  }
  const state = linuxStat(pid)?.state;
  return state !== 'Z' && state !== 'X';
}

function startedAt(pid: number): string | null {
  if (process.platform === 'linux') {
    const ticks = linuxStat(pid)?.startTicks;
    if (ticks === undefined) return null;
    // Ticks count from the boot, so after a reboot the same number means another instant.
    return `${readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()}:${ticks}`;
  }
  if (process.platform === 'win32') return null;
  const ps = spawnSync('ps', ['-o', 'lstart=', '-p', String(pid)], { encoding: 'utf8' });
  return ps.status === 0 ? ps.stdout.trim() || null : null;
}

/** proc(5): `pid (comm) state ppid ...`; comm may hold blanks and brackets, so count from the last bracket. */
function linuxStat(pid: number): { state: string; startTicks: string } | null {
  if (process.platform !== 'linux') return null;
  let text: string;
  try {
    text = readFileSync(`/proc/${pid}/stat`, 'utf8');
  } catch {
    return null;
  }
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  const [state, startTicks] = [fields[0], fields[19]];
  return state === undefined || startTicks === undefined ? null : { state, startTicks };
}
