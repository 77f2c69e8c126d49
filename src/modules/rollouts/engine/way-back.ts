import { type AssignmentState, isOneOf, REACHED_STATES } from './assignment-state.js';

/** A node of a rollout that is taken back. */
export interface Returning {
  /** Of its forward assignment. */
  state: AssignmentState;
  isWrittenOff: boolean;
  badVersion: string;
  lastKnownGood: string | null;
  /** The last-known-good version may be installed: approved, not blocked, there for its platform. */
  isLastKnownGoodUsable: boolean;
}

/** What is to be done with a node: `to` its last-known-good version, `nothing` (it never had the bad one, or is out of
 *  reach), or it is `stranded`. */
export type WayBack = { kind: 'to'; version: string } | { kind: 'nothing' } | { kind: 'stranded' };

/** Each node goes back to its own last-known-good version, and never to the one that has just failed. */
export function wayBack({
  state,
  isWrittenOff,
  badVersion,
  lastKnownGood,
  isLastKnownGoodUsable,
}: Returning): WayBack {
  if (isWrittenOff || !isOneOf(REACHED_STATES, state)) return { kind: 'nothing' };
  if (lastKnownGood === null || lastKnownGood === badVersion || !isLastKnownGoodUsable)
    return { kind: 'stranded' };
  return { kind: 'to', version: lastKnownGood };
}
