import type { AssignmentState, Direction } from './assignment-state.js';
import type { RolloutState } from './rollout-state.js';

/** What decides whether a node may go out of service now. Read after the lock of the rollout, in its transaction. */
export interface GrantFacts {
  rolloutState: RolloutState;
  direction: Direction;
  /** The version to which the assignment leads is blocked, or not approved any more. */
  isBlocked: boolean;
  windowOpen: boolean;
}

/** Whether slots are given out at all. Going back does not wait for a window. */
export function mayGrant({ rolloutState, direction, isBlocked, windowOpen }: GrantFacts): boolean {
  if (isBlocked) return false;
  return direction === 'back' ? rolloutState === 'rolling_back' : rolloutState === 'running' && windowOpen;
}

/** Slots that are free: those of other rollouts of the product count, since the nodes are the same. */
export function freeSlots(held: number, maxUnavailable: number, _direction: Direction): number {
  return Math.max(0, maxUnavailable - held);
}

/** A node of which nothing is known may be out of service: nobody but it, or an operator, gives its slot back. */
export function keepsSlot(state: AssignmentState): boolean {
  return ['granted', 'applying', 'health', 'lost', 'fenced'].includes(state);
}

/** How many nodes may prepare at a time: enough that slots never wait, few enough for what serves the bytes. */
export function offerLimit(maxUnavailable: number): number {
  return Math.max(2 * maxUnavailable, 50);
}
