/** Half a second first, a minute at most: quick after a restart, gentle during an outage. */
const BASE_MS = 500;
export const BACKOFF_CAP_MS = 60_000;
/** No server may send an agent to sleep for longer than this by `Retry-After`. */
const RETRY_AFTER_CAP_MS = 600_000;

/**
 * Exponential back-off with full jitter: anything from zero to `min(cap, base * 2^attempt)` milliseconds,
 * so that agents which lost the server together do not return together.
 * `attempt` counts from 0; `random` is in [0, 1).
 */
export function backoffMs(attempt: number, random: number): number {
  return Math.floor(random * Math.min(BACKOFF_CAP_MS, BASE_MS * 2 ** attempt));
}

/** As `backoffMs`, on top of what the server asked for; `retryAfterSeconds` null when it asked nothing. */
export function retryMs(attempt: number, retryAfterSeconds: number | null, random: number): number {
  const asked = Math.min(RETRY_AFTER_CAP_MS, Math.max(0, (retryAfterSeconds ?? 0) * 1_000));
  return asked + backoffMs(attempt, random);
}

/** How an answer came that brought nothing new. */
export interface Unchanged {
  /** What `Retry-After` asked for; a server that stops sends all of its nodes away, each for another time. */
  askedSeconds: number | null;
  /** It was waited for; one that comes at once must not be asked for again at once. */
  wasHeld: boolean;
  /** How many in a row were not. */
  attempt: number;
}

/** How long to wait after an answer that brought nothing new before asking again, in milliseconds. */
export function unchangedMs({ askedSeconds, wasHeld, attempt }: Unchanged, random: number): number {
  if (askedSeconds === null && wasHeld) return 0;
  return retryMs(wasHeld ? 0 : attempt, askedSeconds, random);
}

/** Ten seconds first, five minutes at most: what was refused is refused again until somebody changes something. */
const REFUSAL_BASE_MS = 10_000;
const REFUSAL_CAP_MS = 300_000;

/** A pause after a refusal, in milliseconds: from half to all of what doubles each time. `random` is in [0, 1). */
export function refusalMs(attempt: number, random: number): number {
  return Math.floor(Math.min(REFUSAL_CAP_MS, REFUSAL_BASE_MS * 2 ** attempt) * (0.5 + random / 2));
}

/** An interval of about `seconds`, from 0.9 to 1.1 of it, in milliseconds; `random` is in [0, 1). */
export function jitteredMs(seconds: number, random: number): number {
  return Math.round(seconds * 1_000 * (0.9 + 0.2 * random));
}
