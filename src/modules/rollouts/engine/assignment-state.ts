export const ASSIGNMENT_STATES = [
  'planned',
  'offered',
  'granted',
  'applying',
  'health',
  'ok',
  'rolled_back',
  'failed',
  'fenced',
  'lost',
  'deferred',
  'skipped',
  'cancelled',
  'decommissioned',
] as const;
export type AssignmentState = (typeof ASSIGNMENT_STATES)[number];

/** Where an assignment leads a node: to the rollout's version, or back to its own last-known-good one. */
export type Direction = 'forward' | 'back';

/** What may follow a state. A lost node goes on where it turns out to be, as long as nobody has written it off; one that
 *  has reached a stop on its way has the next part of the way before it. Who was let go and failed to begin is back where
 *  it prepares, if it may try again. An emergency pin leads nodes that it first had to leave out, and leaves others where a
 *  rollout that it held has no way for them any more. */
export const NEXT_ASSIGNMENT_STATES: Record<AssignmentState, readonly AssignmentState[]> = {
  planned: ['offered', 'deferred', 'skipped', 'cancelled', 'decommissioned'],
  offered: ['planned', 'granted', 'failed', 'fenced', 'deferred', 'cancelled', 'decommissioned'],
  granted: ['offered', 'applying', 'rolled_back', 'failed', 'fenced', 'lost', 'decommissioned'],
  applying: ['health', 'rolled_back', 'failed', 'fenced', 'lost', 'decommissioned'],
  health: ['planned', 'ok', 'rolled_back', 'failed', 'fenced', 'lost', 'decommissioned'],
  ok: ['rolled_back', 'fenced', 'decommissioned'],
  rolled_back: ['decommissioned'],
  failed: ['fenced', 'decommissioned'],
  fenced: ['rolled_back', 'decommissioned'],
  lost: [
    'planned',
    'granted',
    'applying',
    'health',
    'ok',
    'rolled_back',
    'failed',
    'fenced',
    'decommissioned',
  ],
  deferred: ['planned', 'skipped', 'cancelled', 'decommissioned'],
  skipped: ['planned', 'decommissioned'],
  cancelled: ['decommissioned'],
  decommissioned: [],
};

/** Something is still to come of it. */
export const OPEN_STATES = [
  'planned',
  'offered',
  'granted',
  'applying',
  'health',
] as const satisfies readonly AssignmentState[];

/** The node may be out of service, or be taken out of it at any moment. */
export const DISRUPTIVE_STATES = [
  'granted',
  'applying',
  'health',
] as const satisfies readonly AssignmentState[];

/** It went wrong. */
export const FAILED_STATES = [
  'rolled_back',
  'failed',
  'fenced',
  'lost',
] as const satisfies readonly AssignmentState[];

/** They say nothing about the version, and are no part of what a wave is measured by. */
export const UNCOUNTED_STATES = [
  'deferred',
  'skipped',
  'cancelled',
  'decommissioned',
] as const satisfies readonly AssignmentState[];

/** The node has, or may have, the version to which its forward assignment leads. */
export const REACHED_STATES = [
  'granted',
  'applying',
  'health',
  'ok',
  'lost',
] as const satisfies readonly AssignmentState[];

export function isOneOf<S extends AssignmentState>(states: readonly S[], state: AssignmentState): state is S {
  return (states as readonly AssignmentState[]).includes(state);
}

/** Whether a node that moves so only goes on with what it was let go for: no count that a rule asks for changes, and no
 *  slot is taken or given back. */
export function goesOn(from: AssignmentState, to: AssignmentState): boolean {
  return (from === 'granted' || from === 'applying') && (to === 'applying' || to === 'health');
}

/** Assignments by their state. */
export type AssignmentCounts = Readonly<Record<AssignmentState, number>>;

export const NO_ASSIGNMENTS = Object.fromEntries(
  ASSIGNMENT_STATES.map((state) => [state, 0]),
) as AssignmentCounts;

export function countStates(states: Iterable<AssignmentState>): AssignmentCounts {
  const counts = { ...NO_ASSIGNMENTS } as Record<AssignmentState, number>;
  for (const state of states) counts[state] += 1;
  return counts;
}

export function sumOf(counts: AssignmentCounts, states: readonly AssignmentState[]): number {
  return states.reduce((sum, state) => sum + counts[state], 0);
}

export function mayBecome(from: AssignmentState, to: AssignmentState): boolean {
  return NEXT_ASSIGNMENT_STATES[from].includes(to);
}
