import { readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { HOST_CLOCK } from './host-clock.js';

/** A row of the host's process table. */
export interface ProcessRow {
  /** One letter; Z and X are of processes that have ended and run no more. */
  state: string;
  /** Process id of the leader of its session; 0 where that is outside of the agent's own namespace of processes. */
  session: number;
  /** It is a thread of the kernel, which has no environment. */
  isOfKernel: boolean;
  /** When it was started, in clock ticks since the host was. */
  startTicks: number;
  /** Start of the host and of the process: with the pid it names one process for ever. */
  started: string;
  /** It was given no environment; false also where that cannot be told. */
  isBare: boolean;
}

/** The kernel's flag for its own threads (`PF_KTHREAD` in Linux's include/linux/sched.h). */
const KERNEL_THREAD = 0x0020_0000;

/** The row that the text of a `/proc/<pid>/stat` tells, by proc_pid_stat(5). */
export function parsedRow(stat: string): ProcessRow {
  // The second field is the command in parentheses and may hold anything; the third is the first after it.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const [state = 'X', session = '0', flags, start = ''] = [fields[0], fields[3], fields[6], fields[19]];
  const [environmentStart, environmentEnd = '0'] = fields.slice(47, 49);
  // Where its code starts is set behind its environment; until then the end of that may still be its start.
  const isWhole = fields[23] !== '0';
  return {
    state,
    session: Number(session),
    isOfKernel: (Number(flags) & KERNEL_THREAD) !== 0,
    startTicks: Number(start),
    started: `${HOST_CLOCK.bootId ?? ''}:${start}`,
    isBare: isWhole && environmentEnd !== '0' && environmentStart === environmentEnd,
  };
}

/** What the table says of `pid`; null when there is no such process, or no /proc that tells. */
export function processRow(pid: number): ProcessRow | null {
  try {
    return parsedRow(readFileSync(`/proc/${pid}/stat`, 'utf8'));
  } catch {
    return null;
  }
}

/** Whether a process that has not ended has this number; it may be another one than before. */
export function isRunning(row: ProcessRow): boolean {
  return row.state !== 'Z' && row.state !== 'X';
}

/** For how long a process is looked at, a millisecond apart, that is just becoming another program. */
const PATIENCE_MS = 2_000;

/**
 * The environment that a process was started with, `NAME=value` each. None for one that has none, has ended, or is
 * another user's. One that is just becoming another program (`exec`) shows none for a moment, and is looked at again.
 */
export async function environmentOf(pid: number): Promise<string[]> {
  const giveUpAt = performance.now() + PATIENCE_MS;
  do {
    const text = await readFile(`/proc/${pid}/environ`, 'latin1').catch(() => null);
    if (text !== '') return text?.split('\0') ?? [];
    const row = processRow(pid);
    if (row === null || !isRunning(row) || row.isBare || row.isOfKernel) return [];
    await sleep(1);
  } while (performance.now() < giveUpAt);
  return [];
}
