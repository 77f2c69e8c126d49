import {
  type AssignmentCounts,
  type AssignmentState,
  type Direction,
  isOneOf,
  NO_ASSIGNMENTS,
  OPEN_STATES,
  REACHED_STATES,
} from './engine/assignment-state.js';
import { isActivated } from './engine/wave-state.js';
import type { Wave } from './waves.repository.js';

/** How many assignments of a rollout are alike in what is decided by numbers. */
export interface CountedAssignments {
  direction: Direction;
  /** null: in no wave. */
  wavePosition: number | null;
  state: AssignmentState;
  isWrittenOff: boolean;
  /** Ways back that have not begun, to a version that may not be installed any more. */
  leadsNowhere: boolean;
  nodes: number;
}

/** The assignments of a rollout by numbers, at one moment. */
export class AssignmentNumbers {
  constructor(private readonly rows: readonly CountedAssignments[]) {}

  /** How many are in one of the states. */
  count(direction: Direction, states: readonly AssignmentState[]): number {
    return sum(this.rows.filter((row) => row.direction === direction && isOneOf(states, row.state)));
  }

  /** How many have not begun their way forward. */
  get waiting(): number {
    return this.count('forward', ['planned', 'offered', 'deferred']);
  }

  /** How many wait for an offer in waves that are active, or have been. */
  plannedIn(waves: readonly Pick<Wave, 'position' | 'state'>[]): number {
    const counts = this.byWave;
    const open = waves.filter(({ state }) => isActivated(state));
    return open.reduce((total, { position }) => total + (counts.get(position)?.planned ?? 0), 0);
  }

  /** Ways back that are open, and lead somewhere. */
  get openBack(): number {
    const open: readonly AssignmentState[] = [...OPEN_STATES, 'lost'];
    return sum(this.remaining('back', open).filter(({ leadsNowhere }) => !leadsNowhere));
  }

  /** Nodes that have, or may have, the version of the rollout. */
  get onBadVersion(): number {
    return sum(this.remaining('forward', REACHED_STATES));
  }

  /** Those on their way forward, by wave and state; who is in no wave is left out. */
  get byWave(): Map<number, AssignmentCounts> {
    return countsByWave(this.rows.filter(({ direction }) => direction === 'forward'));
  }

  private remaining(direction: Direction, states: readonly AssignmentState[]): CountedAssignments[] {
    const left = this.rows.filter((row) => !row.isWrittenOff && row.direction === direction);
    return left.filter(({ state }) => isOneOf(states, state));
  }
}

/** Of one rollout; nodes in no wave are left out. */
export function countsByWave(
  rows: readonly Pick<CountedAssignments, 'wavePosition' | 'state' | 'nodes'>[],
): Map<number, AssignmentCounts> {
  const byWave = new Map<number, Record<AssignmentState, number>>();
  for (const { wavePosition, state, nodes } of rows) {
    if (wavePosition === null) continue;
    const counts = byWave.get(wavePosition) ?? { ...NO_ASSIGNMENTS };
    counts[state] += nodes;
    byWave.set(wavePosition, counts);
  }
  return byWave;
}

function sum(rows: readonly CountedAssignments[]): number {
  return rows.reduce((total, { nodes }) => total + nodes, 0);
}
