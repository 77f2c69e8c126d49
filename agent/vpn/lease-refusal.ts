import { ApiRefusal, ServerAway } from '../api-errors.js';
import { backoffMs, retryMs } from '../backoff.js';

/** What the agent tells of a connection (API: the status of an assignment). */
export type AssignmentStatus = 'not_started' | 'assigned' | 'lease_required' | 'blocked' | 'unknown';

/** What to do after an acquire that brought no lease. */
export interface Setback {
  waitMs: number;
  status: AssignmentStatus;
  message: string;
}

/** Another's lease is asked for again this long after its end at the latest, and spread over as much. */
const SPREAD_AFTER_EXPIRY_MS = 1_000;
/** A lease of another may be released long before its end, so its end alone is not waited for. */
const LONGEST_WAIT_MS = 10_000;
/** Not this node's turn, and nothing that it can do about it: a new snapshot ends the wait before that. */
const NOT_ELIGIBLE_MS = 30_000;

/**
 * Judges the failure of an acquire. A wait also ends when the snapshot changes.
 * @param attempt  failures in a row, from 0
 * @param serverNow  the service's time as well as it is known
 * @param random  in [0, 1)
 */
export function setbackOf(error: unknown, attempt: number, serverNow: Date, random: number): Setback {
  if (error instanceof ServerAway) {
    const waitMs = retryMs(attempt, error.retryAfterSeconds, random);
    return { waitMs, status: 'unknown', message: error.message };
  }
  const { message } = error as Error;
  if (!(error instanceof ApiRefusal))
    return { waitMs: backoffMs(attempt, random), status: 'unknown', message };
  const waitMs = waitAfter(error, attempt, serverNow, random);
  const isBlocked = error.status === 404 || error.code === 'owner_not_eligible';
  return { waitMs, status: isBlocked ? 'blocked' : 'lease_required', message };
}

function waitAfter(
  { status, code, more }: ApiRefusal,
  attempt: number,
  serverNow: Date,
  random: number,
): number {
  if (code === 'lease_held') {
    const leftMs = Date.parse(String(more.extensions.expiresAt)) - serverNow.getTime();
    const knownMs = Number.isFinite(leftMs) ? Math.max(0, leftMs) : LONGEST_WAIT_MS;
    return Math.min(LONGEST_WAIT_MS, knownMs) + random * SPREAD_AFTER_EXPIRY_MS;
  }
  if (code === 'owner_not_eligible' || status === 404) return NOT_ELIGIBLE_MS * (0.5 + random);
  return retryMs(attempt, more.retryAfterSeconds, random);
}
