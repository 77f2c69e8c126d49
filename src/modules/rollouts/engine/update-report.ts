import { type AssignmentState, isOneOf } from './assignment-state.js';
import {
  ASSIGNMENT_AFTER,
  CANCELLABLE_UPDATE_STATES,
  DISRUPTED_UPDATE_STATES,
  NEXT_NODE_UPDATE_STATES,
  type NodeUpdateState,
} from './node-update.js';

/** Where a report stands among those of its node: a higher one replaces a lower one. */
export interface ReportMark {
  /** Grows when an operator takes the update out of the hands of the node. */
  epoch: number;
  attempt: number;
  sequence: number;
}

/** An assignment as far as its node has reported it. */
export interface ReportedUpdate extends ReportMark {
  nodeState: NodeUpdateState;
  state: AssignmentState;
  /** It leads to a stop on the way, and the node has to go on from there. */
  isStop: boolean;
  /** How often the node may fail to prepare and try again. */
  retriesLeft: number;
}

export interface UpdateReport extends ReportMark {
  state: NodeUpdateState;
}

/** What becomes of the slot of the node: it is given back, it is taken whether or not one is free, or it stays. */
export type SlotEffect = 'release' | 'take' | 'keep';

export type ReportOutcome =
  | { kind: 'accepted'; next: ReportedUpdate; slot: SlotEffect }
  /** The same again: nothing changes. */
  | { kind: 'repeated' }
  /** Older than what is known, or of an epoch that is over. */
  | { kind: 'stale' }
  /** No such edge, or out of service without a slot. */
  | { kind: 'invalid' };

/** Something more may come of an assignment in one of these. */
const LISTENED_TO = ['offered', 'granted', 'applying', 'health', 'lost', 'ok', 'failed'] as const;
/** To be there the node must have been let go out of service. */
const NEEDS_SLOT: readonly NodeUpdateState[] = [...DISRUPTED_UPDATE_STATES, 'running', 'rolled_back'];

/** What a report changes. Reports that come again or out of order change nothing. */
export function acceptReport(known: ReportedUpdate, report: UpdateReport): ReportOutcome {
  if (report.epoch !== known.epoch) return { kind: 'stale' };
  if (report.sequence === known.sequence)
    return report.state === known.nodeState && report.attempt === known.attempt
      ? { kind: 'repeated' }
      : { kind: 'stale' };
  if (report.sequence < known.sequence || report.attempt < known.attempt) return { kind: 'stale' };
  if (!isEdge(known, report)) return { kind: 'invalid' };
  const { epoch, attempt, sequence, state: nodeState } = report;
  const isRetry = triesAgain(known, nodeState);
  const state = isRetry ? 'offered' : stateAfter(known, nodeState);
  if (state === null) return { kind: 'invalid' };
  const retriesLeft = known.retriesLeft - (isRetry ? 1 : 0);
  const next = { ...known, epoch, attempt, sequence, nodeState, state, retriesLeft };
  return { kind: 'accepted', next, slot: slotAfter(known, nodeState) };
}

/** A state may be told again, with what has become of it. Another attempt begins where the last one has ended. */
function isEdge({ nodeState, attempt }: ReportedUpdate, report: UpdateReport): boolean {
  const next = NEXT_NODE_UPDATE_STATES[nodeState];
  if (report.attempt > attempt) return nodeState === 'idle' && report.state === 'checking';
  return report.state === nodeState || next.includes(report.state);
}

/** A node that fails to prepare keeps its offer while it may try again, and gives back its slot if it had one. Bytes that
 *  were found to be others than the signed ones are not fetched again. */
function triesAgain({ state, nodeState, retriesLeft }: ReportedUpdate, to: NodeUpdateState): boolean {
  if (to !== 'failed' || nodeState === 'failed' || nodeState === 'verifying') return false;
  return retriesLeft > 0 && (state === 'offered' || state === 'granted');
}

/** null: the node may not be there. It has no slot, or nothing more is asked of it. */
function stateAfter(
  { state, nodeState, isStop }: ReportedUpdate,
  to: NodeUpdateState,
): AssignmentState | null {
  // It prepares by what it was offered before it went away; that is worth something when it is offered again.
  if (isOneOf(['planned', 'deferred'], state) && CANCELLABLE_UPDATE_STATES.includes(to)) return state;
  if (!isOneOf(LISTENED_TO, state)) return to === nodeState || to === 'idle' ? state : null;
  if (state === 'ok') return afterOk(to);
  // Told again: whether it may try once more was decided the first time.
  if (to === 'failed' && nodeState === 'failed') return state;
  if (state === 'offered' && NEEDS_SLOT.includes(to)) return null;
  if (to === 'running' && isStop) return 'planned';
  const after = ASSIGNMENT_AFTER[to];
  if (after !== null) return after;
  if (state !== 'lost') return state;
  // Seen again, with its slot still its own.
  return DISRUPTED_UPDATE_STATES.includes(to) ? 'applying' : 'granted';
}

/** A finished node stays what it is, unless it turns bad later. */
function afterOk(to: NodeUpdateState): AssignmentState {
  if (to === 'rolled_back') return 'rolled_back';
  return to === 'fenced' ? 'fenced' : 'ok';
}

/** Who turns bad later, or cannot get back, is out of service whether or not it was asked: it takes a slot, so that fewer
 *  others go. */
function slotAfter({ nodeState }: ReportedUpdate, to: NodeUpdateState): SlotEffect {
  if (to === 'running' || to === 'rolled_back' || to === 'failed') return 'release';
  const isUnasked = to === 'fenced' || (nodeState === 'running' && to === 'rollback_required');
  return isUnasked ? 'take' : 'keep';
}
