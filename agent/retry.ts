import { ServerAway } from './api-errors.js';
import { retryMs } from './backoff.js';
import type { ServerPresence } from './server-presence.js';
import { pause } from './waiting.js';

/**
 * Repeats `work` until the server gives an answer, with back-off and jitter in between.
 * Everything but `ServerAway` passes through, as does the last failure once `stop` has aborted.
 */
export async function whileAway<T>(
  work: () => Promise<T>,
  presence: ServerPresence,
  stop: AbortSignal,
): Promise<T> {
  for (let attempt = 0; ; attempt += 1) {
    try {
      const result = await work();
      presence.back();
      return result;
    } catch (error) {
      if (!(error instanceof ServerAway) || stop.aborted) throw error;
      presence.away(error.message);
      await pause(retryMs(attempt, error.retryAfterSeconds, Math.random()), stop);
      if (stop.aborted) throw error;
    }
  }
}
