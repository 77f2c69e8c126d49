/**
 * What `work` resolves to, unless it takes longer.
 * @throws what `work` throws, or after `ms` milliseconds an error that names `what`
 */
export async function within<T>(ms: number, what: string, work: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what} took longer than ${ms} ms`)), ms);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** Resolves after `ms` milliseconds, or as soon as `signal` aborts. */
export function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) {
      resolve();
      return;
    }
    const done = () => {
      clearTimeout(timer);
      signal.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal.addEventListener('abort', done);
  });
}

/**
 * Milliseconds to wait after the failed try number `attempt` (from 1): doubling from 100 to `maxMs`. The jitter keeps
 * all instances from returning to a restarted server at the same moment.
 */
export function backOffMs(attempt: number, maxMs: number): number {
  const full = Math.min(100 * 2 ** Math.min(attempt - 1, 16), maxMs);
  return full * (0.5 + Math.random() / 2);
}
