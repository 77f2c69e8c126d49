import { setTimeout as timeout } from 'node:timers/promises';

/** Resolves after `ms`, or at once when `signal` aborts; never rejects, so callers look at the signal. */
export async function pause(ms: number, signal: AbortSignal): Promise<void> {
  try {
    await timeout(ms, undefined, { signal });
  } catch {
    // Only an abort ends a timer early, and that is what the caller asked for.
  }
}

/**
 * Runs `work` under a signal that aborts with any of `signals` or after `timeoutMs`.
 * Used instead of `AbortSignal.any` because that keeps a trace of every call on a long-lived signal in
 * Node 20, and the agent's stop signal lives for months.
 */
export function withDeadline<T>(
  signals: readonly AbortSignal[],
  timeoutMs: number,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  return whileMoving(signals, timeoutMs, work);
}

/** The same for work that may take long as long as it moves: `moved` begins the time anew. */
export async function whileMoving<T>(
  signals: readonly AbortSignal[],
  stallMs: number,
  work: (signal: AbortSignal, moved: () => void) => Promise<T>,
): Promise<T> {
  const controller = new AbortController();
  const abort = (): void => controller.abort();
  const timer = setTimeout(() => controller.abort(new DOMException('timed out', 'TimeoutError')), stallMs);
  for (const signal of signals) {
    if (signal.aborted) abort();
    signal.addEventListener('abort', abort, { once: true });
  }
  try {
    return await work(controller.signal, () => timer.refresh());
  } finally {
    clearTimeout(timer);
    for (const signal of signals) signal.removeEventListener('abort', abort);
  }
}
