import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { messagesIn } from '../json-lines.js';
import { pause } from '../waiting.js';
import type { GuardDeadline, GuardMessage, GuardOrder, GuardReport } from './guard-protocol.js';
import { SteadyClock } from './steady-clock.js';

/** How often the clock is looked at: a host that slept wakes up with timers that have not moved. */
const LOOK_MS = 200;
const STOP_AGAIN_MS = 1_000;

/**
 * The process between the agent and a tunnel. It brings the tunnel up and takes it down when it is told to, when its
 * time is over, and when the agent is gone: an agent that was killed or stands still cannot leave a tunnel up beyond its
 * lease.
 * @param told  aborts when somebody else wants the tunnel down, by a signal
 */
export async function guardTunnel(
  input: AsyncIterable<Buffer>,
  say: (report: GuardReport) => void,
  told: AbortSignal,
): Promise<void> {
  const messages = messagesIn<GuardOrder | GuardMessage>(input);
  const first = await messages.next();
  // Without an order nothing is up, whatever is said.
  if (first.done === true || !('start' in first.value)) return;
  const order = first.value;
  const clock = new SteadyClock();
  const over = new AbortController();
  told.addEventListener('abort', () => over.abort(), { once: true });
  let stopAtMs = onClock(clock, order.deadline);
  const watch = setInterval(() => {
    if (clock.now() >= stopAtMs) over.abort();
  }, LOOK_MS);
  const listen = async (): Promise<void> => {
    for await (const message of messages) {
      if ('deadline' in message) stopAtMs = onClock(clock, message.deadline);
      else break;
    }
  };
  // An agent that is gone tells no further deadline, whichever way its end is noticed.
  const end = (): void => over.abort();
  void listen().then(end, end);
  try {
    const complaint = await execute(order.start, order.env, order.startTimeoutMs, over.signal);
    if (complaint === null) say({ up: true });
    else if (!over.signal.aborted) {
      say({ failed: complaint });
      over.abort();
    }
    if (!over.signal.aborted) await once(over.signal, 'abort');
  } finally {
    clearInterval(watch);
  }
  await takeDown(order, (detail) => say({ stopFailed: detail }));
}

/** Runs the stop command until it says that the tunnel is down. */
export async function takeDown(
  { stop, env, stopTimeoutMs }: Pick<GuardOrder, 'stop' | 'env' | 'stopTimeoutMs'>,
  complain: (detail: string) => void,
): Promise<void> {
  const never = new AbortController().signal;
  for (;;) {
    const complaint = await execute(stop, env, stopTimeoutMs, never);
    if (complaint === null) return;
    complain(complaint);
    await pause(STOP_AGAIN_MS, never);
  }
}

function onClock(clock: SteadyClock, { at, leftMs }: GuardDeadline): number {
  const agoMs = Number(process.hrtime.bigint() - BigInt(at)) / 1e6;
  return clock.now() + leftMs - agoMs;
}

/** Runs a command to its end. Null: exit code 0; else what went wrong. Killed, with all that it started, in the end. */
async function execute(
  [program = '', ...args]: readonly string[],
  env: Readonly<Record<string, string>>,
  timeoutMs: number,
  stop: AbortSignal,
): Promise<string | null> {
  if (stop.aborted) return 'it was not started any more';
  let child: ChildProcess;
  try {
    child = spawn(program, args, {
      env: { ...process.env, ...env },
      detached: true,
      // Never the output of this process, on which it speaks to the agent.
      stdio: ['ignore', 2, 2],
    });
  } catch (error) {
    // The host has no memory for it, for example: a stop has to be tried again.
    return (error as Error).message;
  }
  const kill = (): void => {
    try {
      process.kill(-(child.pid ?? 0), 'SIGKILL');
    } catch {
      // It has just ended.
    }
  };
  const timer = setTimeout(kill, timeoutMs);
  stop.addEventListener('abort', kill, { once: true });
  try {
    const [code, signal] = (await once(child, 'exit')) as [number | null, NodeJS.Signals | null];
    if (code === 0) return null;
    return `${program} ended with ${signal ?? `exit code ${code}`}`;
  } catch (error) {
    return (error as Error).message;
  } finally {
    clearTimeout(timer);
    stop.removeEventListener('abort', kill);
  }
}
