import { type Fields, optionalNumber, textField } from '../answer-fields.js';
import { ApiRefusal } from '../api-errors.js';

/** A lease as the agent holds it: everything by its own steady clock, in milliseconds. */
export interface HeldLease {
  token: number;
  /** From this instant on the lease may be another's: the driver must be down by then. */
  validUntilMs: number;
  /** When to begin to stop the driver, so that it is down by `validUntilMs`. */
  stopAtMs: number;
  renewAtMs: number;
  /** The service wants it given back: another node is to follow. */
  isRecalled: boolean;
}

/** A driver that is slow to stop gets at most this share of the time; with a short lease it is stopped late at worst. */
const STOP_SHARE_AT_MOST = 0.5;
const RENEW_AFTER_SHARE = 1 / 3;
/** Around a third of the time, so that many leases granted together are not renewed together. */
const RENEW_JITTER = 0.2;

/**
 * Reads a lease out of an answer. The time that the service left is counted from before the request was sent: the
 * service read its clock later than that, so the agent's end never comes after the service's.
 * @param sentAtMs  of the steady clock, before the request was sent
 * @param stopMs  how long the driver may take to stop
 * @param random  in [0, 1)
 * @throws ApiRefusal when the answer is no lease
 */
export function heldLease(answer: Fields, sentAtMs: number, stopMs: number, random: number): HeldLease {
  const token = optionalNumber(answer, 'fencingToken');
  const leftMs = Date.parse(textField(answer, 'expiresAt')) - Date.parse(textField(answer, 'serverTime'));
  if (token === null || !Number.isSafeInteger(token) || token <= 0 || !Number.isFinite(leftMs)) {
    throw new ApiRefusal(200, 'answer_unreadable', 'the answer is no lease that this agent can read');
  }
  const renewMs = leftMs * RENEW_AFTER_SHARE * (1 - RENEW_JITTER / 2 + RENEW_JITTER * random);
  return {
    token,
    validUntilMs: sentAtMs + leftMs,
    stopAtMs: sentAtMs + leftMs - Math.min(stopMs, leftMs * STOP_SHARE_AT_MOST),
    renewAtMs: sentAtMs + Math.max(0, renewMs),
    isRecalled: answer.releaseRequested === true,
  };
}
