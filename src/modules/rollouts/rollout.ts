import type { AuditEvent } from '../../common/audit/audit-event.js';
import { conflict, notFound } from '../../common/errors/domain-error.js';
import type { NodeSelector } from '../nodes/node-selector.js';
import type { MaintenanceWindow } from './engine/maintenance-window.js';
import { mayFollow, type RolloutState } from './engine/rollout-state.js';
import type { WaveState } from './engine/wave-state.js';

/** A wave as an operator describes it, with every default filled in. */
export interface WaveTerms {
  name: string;
  percent?: number | undefined;
  count?: number | undefined;
  selector?: NodeSelector | undefined;
  soakSeconds: number;
  dependsOn: string[];
  requiresApproval: boolean;
}

/** How a version is rolled out, with every default filled in. */
export interface Strategy {
  waves: WaveTerms[];
  maxUnavailable: number;
  successThresholdPercent: number;
  failureThresholdPercent: number;
  minEvidence: number;
  progressDeadlineSeconds: number;
  nodeDeadlineSeconds: number;
  maintenanceWindows: MaintenanceWindow[];
  startAt: string | null;
  autoRollback: boolean;
  /** Absent in rollouts from before there was one. */
  retryBudget?: number;
}

/** `staged`: by an operator, and one unfinished for each product; `pin`: of one node, where its pin leads; `emergency`: of
 *  the nodes of an emergency pin. */
export type RolloutKind = 'staged' | 'pin' | 'emergency';

/** A version on its way to the nodes of a cluster. */
export interface Rollout {
  id: string;
  kind: RolloutKind;
  clusterId: string;
  productId: string;
  product: string;
  /** Of a product that is a workload; null: it is the agent. */
  serviceType: string | null;
  releaseId: string;
  targetVersion: string;
  selector: NodeSelector;
  strategy: Strategy;
  planHash: string;
  downgradePossible: boolean;
  state: RolloutState;
  stateReason: string | null;
  /** Set while it is paused: what is acknowledged. */
  pausedByDecisionId: string | null;
  startAt: Date | null;
  createdByType: string;
  createdById: string;
  createdAt: Date;
  updatedAt: Date;
  startedAt: Date | null;
  runningSince: Date | null;
  lastProgressAt: Date | null;
  finishedAt: Date | null;
  /** Ways back are planned up to this node; null: for all that need one, or there is nothing to plan. */
  waysBackAfter: string | null;
  /** The version is noted as good up to this node; null: of all, or nothing is proved. */
  goodAfter: string | null;
  /** It has looked up to here for nodes that can be offered their way; null: no further than those in front. */
  lookedTo: Place | null;
}

/** Where somebody stands in a rollout. */
export interface Place {
  wavePosition: number;
  place: number;
}

/** Before every node, in the order of their ids. */
export const BEFORE_ALL = '00000000-0000-0000-0000-000000000000';

interface StateShape {
  state: RolloutState;
  stateReason: string | null;
}
interface CreatedShape {
  product: string;
  targetVersion: string;
  planHash: string;
}
type Moved = { before: StateShape; after: StateShape };
interface WaveShape {
  wave: string;
  state: string;
}
interface NodeShape {
  nodeId: string;
  state: string;
}

declare module '../../common/audit/audit-event.js' {
  interface AuditActions {
    'rollout.created': { before: null; after: CreatedShape };
    'rollout.submitted': Moved;
    'rollout.approval_given': { before: null; after: { planHash: string } };
    'rollout.approved': Moved;
    'rollout.start_refused': { before: null; after: { code: string; message: string } };
    'rollout.started': Moved;
    'rollout.paused': Moved;
    'rollout.resumed': Moved;
    'rollout.rollback_started': Moved;
    'rollout.rolled_back': Moved;
    'rollout.rollback_stalled': Moved;
    'rollout.succeeded': Moved;
    'rollout.cancelled': Moved;
    'rollout.wave_moved': { before: WaveShape; after: WaveShape };
    'rollout.wave_approved': { before: null; after: { wave: string } };
    'rollout.nodes_moved': { before: null; after: { state: string; nodeIds: string[]; nodes: number } };
    'rollout.node_reported': { before: NodeShape; after: NodeShape };
    'rollout.report_refused': {
      before: null;
      after: { nodeId: string; state: string; reported: string; refusedReports: number };
    };
    'rollout.node_written_off': { before: null; after: { nodeId: string } };
    'rollout.node_unfenced': { before: null; after: { nodeId: string } };
    'rollout.retreat_begun': { before: null; after: { version: string } };
  }
}

const ACTION_OF = {
  pending_approval: 'rollout.submitted',
  approved: 'rollout.approved',
  paused: 'rollout.paused',
  rolling_back: 'rollout.rollback_started',
  rolled_back: 'rollout.rolled_back',
  rollback_stalled: 'rollout.rollback_stalled',
  succeeded: 'rollout.succeeded',
  succeeded_with_deferred: 'rollout.succeeded',
  cancelled: 'rollout.cancelled',
} as const;

export function rolloutMoved(rollout: Rollout, to: RolloutState, reason: string | null): AuditEvent {
  const { state, stateReason } = rollout;
  const change = { before: { state, stateReason }, after: { state: to, stateReason: reason } };
  if (to === 'running')
    return {
      ...about(rollout),
      ...change,
      action: state === 'paused' ? 'rollout.resumed' : 'rollout.started',
    };
  if (to === 'draft') throw new Error('nothing becomes a draft');
  return { ...about(rollout), ...change, action: ACTION_OF[to] };
}

export function waveMoved(rollout: Rollout, wave: string, from: WaveState, to: WaveState): AuditEvent {
  const change = { before: { wave, state: from }, after: { wave, state: to } };
  return { ...about(rollout), ...change, action: 'rollout.wave_moved' };
}

/** An emergency pin begins as soon as it has its approvals; of the others some are to begin by themselves, some by a person. */
export function isDueToStart({ kind, state, startAt }: Rollout, now: Date): boolean {
  if (kind === 'emergency') return state === 'approved';
  return startAt !== null && startAt <= now && (state === 'draft' || state === 'approved');
}

/** How an event about the rollout begins. */
export function about({ id, product, targetVersion, clusterId }: Rollout) {
  const resource = { type: 'rollout', id, name: `${product} ${targetVersion}` };
  return { resource, clusterId, outcome: 'success', reason: null } as const;
}

export function rolloutCreated(rollout: Rollout): AuditEvent {
  const { product, targetVersion, planHash } = rollout;
  const after = { product, targetVersion, planHash };
  return { ...about(rollout), action: 'rollout.created', before: null, after };
}

/** @throws conflict `rollout_state_conflict` */
export function requireEdge(rollout: Rollout, to: RolloutState): void {
  if (mayFollow(rollout.state, to)) return;
  throw wrongState(rollout, `A rollout that is ${rollout.state} cannot become ${to}.`);
}

export function wrongState({ state, stateReason }: Rollout, message: string) {
  return conflict('rollout_state_conflict', message, { extensions: { state, stateReason } });
}

/** The same for what never was and what the caller may not know. */
export function noSuchRollout() {
  return notFound('not_found', 'There is no such rollout in this cluster.');
}
