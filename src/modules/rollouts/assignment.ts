import type { AssignmentState, Direction } from './engine/assignment-state.js';
import type { NodeUpdateState } from './engine/node-update.js';

/** A node's part in a rollout: the way to the new version, or the way back. */
export interface Assignment {
  id: string;
  rolloutId: string;
  clusterId: string;
  productId: string;
  nodeId: string;
  direction: Direction;
  wavePosition: number | null;
  place: number;
  state: AssignmentState;
  stateReason: string | null;
  /** What the node had before the rollout, and goes back to. */
  fromVersion: string | null;
  /** From where its next step leads: the same, or the stop that it has reached. */
  stepFrom: string | null;
  toVersion: string;
  toReleaseId: string;
  os: string;
  arch: string;
  isStop: boolean;
  retriesLeft: number;
  nodeState: NodeUpdateState;
  epoch: number;
  attempt: number;
  sequence: number;
  message: string | null;
  isWrittenOff: boolean;
  stateChangedAt: Date;
  reportedAt: Date | null;
}

/** An assignment that is to be written down. */
export type NewAssignment = Pick<
  Assignment,
  | 'nodeId'
  | 'direction'
  | 'wavePosition'
  | 'place'
  | 'state'
  | 'stateReason'
  | 'fromVersion'
  | 'toVersion'
  | 'toReleaseId'
  | 'os'
  | 'arch'
  | 'isStop'
  | 'retriesLeft'
>;

/** What a node may do for its assignment; null: nothing. */
export function phaseOf({ state }: Pick<Assignment, 'state'>): 'offered' | 'granted' | null {
  if (state === 'offered') return 'offered';
  return ['granted', 'applying', 'health', 'lost'].includes(state) ? 'granted' : null;
}
