import type { Rollout } from './rollout.js';

/** A rollout with the releases that may be installed for it, none of which can be blocked before the commit. */
export interface HeldRollout {
  rollout: Rollout;
  /** After the lock: what held it is earlier. */
  now: Date;
  /** Approved, and not blocked. */
  usableReleaseIds: readonly string[];
  /** The others to which it leads. */
  unusableReleaseIds: readonly string[];
}
