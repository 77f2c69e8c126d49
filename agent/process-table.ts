import { readFileSync } from 'node:fs';
import { HOST_CLOCK } from './host-clock.js';

/** A row of the host's process table. */
export interface ProcessRow {
  /** One letter; Z and X are of processes that have ended and run no more. */
  state: string;
  /** Process id of the leader of its session. */
  session: number;
  /** When it was started, in clock ticks since the host was. */
  startTicks: number;
  /** Start of the host and of the process: with the pid it names one process for ever. */
  started: string;
}

/** What the table says of `pid`; null when there is no such process, or no /proc that tells. */
export function processRow(pid: number): ProcessRow | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The second field is the command in parentheses and may hold anything; the third is the first after it.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    const [state = 'X', session = '0', start = ''] = [fields[0], fields[3], fields[19]];
    const started = `${HOST_CLOCK.bootId ?? ''}:${start}`;
    return { state, session: Number(session), startTicks: Number(start), started };
  } catch {
    return null;
  }
}

/** Whether a process that has not ended has this number; it may be another one than before. */
export function isRunning(row: ProcessRow): boolean {
  return row.state !== 'Z' && row.state !== 'X';
}
