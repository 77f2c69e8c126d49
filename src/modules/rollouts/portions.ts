/** With how many nodes one transaction does what is to be done with all of a rollout. */
export interface Portions {
  /** Looks whether they are away, before their turn comes: of each open wave. */
  inFront: number;
  /** Looks where they are, beyond those for whom there is room, and plans their ways anew. */
  looked: number;
  /** Takes an offer from them, so that their snapshots change. */
  withdrawn: number;
  /** Takes their place in the queue from them. */
  cancelled: number;
  /** Leaves them out of a wave that opens. */
  skipped: number;
  /** Plans their way back. */
  waysBack: number;
  /** Notes the version that was proved as their last good one. */
  good: number;
}

export const AT_LENGTH: Portions = {
  inFront: 1_000,
  looked: 1_000,
  withdrawn: 500,
  cancelled: 2_000,
  skipped: 1_000,
  waysBack: 500,
  good: 1_000,
};

/** Of a transaction that hears reports: others wait to be heard. */
export const IN_BRIEF: Portions = {
  inFront: 50,
  looked: 100,
  withdrawn: 50,
  cancelled: 200,
  skipped: 100,
  waysBack: 50,
  good: 100,
};
