import { readdir } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { environmentOf, isRunning, processRow } from '../process-table.js';

/** The first process of a service, or of an agent: leader of a session of its own, so that all that it starts can be found. */
export interface TreeRoot {
  pid: number;
  /** As in `ProcessRow`. */
  started: string;
  /** In the environment of every process of the service, and of no other; null: only its session counts. */
  instanceId: string | null;
  /** A child of this very process: of what has just ended the number cannot be another's yet. */
  isOwnChild: boolean;
}

export interface TreeEnd {
  signal: NodeJS.Signals;
  /** How long the processes may take after `signal` before they are killed. */
  timeoutMs: number;
  /** Called once when processes live on although they were killed. */
  onStuck: (pids: readonly number[]) => void;
}

/** Pauses between looks: short at first, for most services end at once, and gentle with the host later. */
const PAUSE_MS = { first: 10, longest: 200 };
/** Kills in vain after which it is worth a word; they go on. */
const KILLS_UNTIL_STUCK = 30;

/**
 * Ends every process of a service and returns when none is left: first asks with `signal`, then kills, as
 * often as it takes. A process that cannot be killed keeps the call waiting, for as long as it lives no
 * second copy of the service may run.
 */
export async function endTree(root: TreeRoot, end: TreeEnd): Promise<void> {
  const deadline = performance.now() + end.timeoutMs;
  let members = await membersOf(root);
  if (end.timeoutMs > 0) signalAll(members, end.signal);
  for (let pauseMs = PAUSE_MS.first, kills = 0; members.length > 0; pauseMs = longer(pauseMs)) {
    const leftMs = deadline - performance.now();
    if (leftMs <= 0) {
      signalAll(members, 'SIGKILL');
      kills += 1;
      if (kills === KILLS_UNTIL_STUCK) end.onStuck(members);
    }
    await sleep(leftMs > 0 ? Math.min(pauseMs, leftMs) : pauseMs);
    members = await membersOf(root);
  }
}

function longer(pauseMs: number): number {
  return Math.min(PAUSE_MS.longest, pauseMs * 1.5);
}

/**
 * The living processes of a service: its first one, those that carry its instance id, and those of its
 * session. A session is looked at only while its leader is known to be ours: its number may be another's
 * once everything in it has ended.
 */
export async function membersOf(root: TreeRoot): Promise<number[]> {
  const leader = processRow(root.pid);
  const isOurs = leader === null ? root.isOwnChild : leader.started === root.started;
  const since = Number(root.started.split(':')[1]);
  const members: number[] = [];
  for (const name of await readdir('/proc')) {
    const pid = Number(name);
    if (!Number.isInteger(pid) || pid === process.pid) continue;
    const row = processRow(pid);
    if (row === null || !isRunning(row) || row.startTicks < since) continue;
    const isInSession = isOurs && row.session === root.pid;
    if (isInSession || (await carries(pid, root.instanceId))) members.push(pid);
  }
  return members;
}

/** Whether the environment that the process was started with names the instance. */
async function carries(pid: number, instanceId: string | null): Promise<boolean> {
  if (instanceId === null) return false;
  return (await environmentOf(pid)).includes(`RAP_INSTANCE_ID=${instanceId}`);
}

/** Signals each process; one that has ended in the meantime is passed over. */
export function signalAll(pids: readonly number[], signal: NodeJS.Signals): void {
  for (const pid of pids) {
    try {
      process.kill(pid, signal);
    } catch {
      // It has ended in the meantime; one that may not be signalled is seen again, and said.
    }
  }
}
