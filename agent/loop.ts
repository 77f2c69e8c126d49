import { IdentityRefused, ServerAway } from './api-errors.js';
import { retryMs } from './backoff.js';
import type { Log } from './log.js';
import type { ServerPresence } from './server-presence.js';

/** What every loop of the agent needs to go on when something fails. */
export interface LoopContext {
  log: Log;
  presence: ServerPresence;
  stop: AbortSignal;
}

/**
 * What a loop does with the failure of one round: says it and returns how long to wait, in milliseconds.
 * A disk that is full for a while must not end the agent either, so everything else is logged and retried.
 * @throws IdentityRefused, which ends all loops
 */
export function afterFailure(error: unknown, event: string, attempt: number, context: LoopContext): number {
  if (error instanceof IdentityRefused) throw error;
  if (context.stop.aborted) return 0;
  if (error instanceof ServerAway) {
    context.presence.away(error.message);
    return retryMs(attempt, error.retryAfterSeconds, Math.random());
  }
  context.log.error(event, { detail: (error as Error).message });
  return retryMs(attempt, null, Math.random());
}
