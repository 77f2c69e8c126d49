import type { RestartPolicy } from '../snapshot-workload.js';

/** Whatever a policy asks for: a service that ends at once must not take the host's whole attention. */
const MIN_DELAY_MS = 100;
const MIN_CAP_MS = 1_000;

/** How the process of a service ended. */
export interface Ending {
  /** It ended by itself with exit code 0. */
  isSuccess: boolean;
  /** For people, such as "was killed by SIGKILL". */
  text: string;
}

/** Whether a service that ended by itself, or is unhealthy, is started again. */
export function isRestarted(policy: RestartPolicy, ending: Pick<Ending, 'isSuccess'>): boolean {
  return policy.mode === 'always' || (policy.mode === 'on_failure' && !ending.isSuccess);
}

/**
 * Milliseconds before the next start: the initial delay, doubled with each start in a row that did not last,
 * up to the longest delay. `attempts` counts those starts, from 0. One host has few services, so that there
 * is no herd to be spread by jitter.
 */
export function restartDelayMs(policy: RestartPolicy, attempts: number): number {
  const initial = Math.max(MIN_DELAY_MS, policy.initialDelaySeconds * 1_000);
  const cap = Math.max(initial, MIN_CAP_MS, policy.maxDelaySeconds * 1_000);
  return Math.min(cap, initial * 2 ** attempts);
}

/** Starts in a row that did not last, after one more that ran for `ranMs`. */
export function attemptsAfter(policy: RestartPolicy, attempts: number, ranMs: number): number {
  return ranMs >= policy.resetAfterSeconds * 1_000 ? 0 : attempts;
}
