import type { AssignmentState } from './assignment-state.js';

/** What a node reports about an update: the specification's states. */
export const NODE_UPDATE_STATES = [
  'idle',
  'checking',
  'downloading',
  'verifying',
  'staging',
  'migrating',
  'starting',
  'health_checking',
  'promoting',
  'running',
  'rollback_required',
  'rolling_back',
  'rolled_back',
  'failed',
  'fenced',
] as const;
export type NodeUpdateState = (typeof NODE_UPDATE_STATES)[number];

/** The only edges that the service accepts. Out of `fenced` leads the decision of an operator, no report. */
export const NEXT_NODE_UPDATE_STATES: Record<NodeUpdateState, readonly NodeUpdateState[]> = {
  idle: ['checking'],
  checking: ['idle', 'downloading'],
  downloading: ['verifying', 'failed', 'idle'],
  verifying: ['staging', 'failed'],
  staging: ['migrating', 'starting', 'failed', 'idle'],
  migrating: ['starting', 'rollback_required'],
  starting: ['health_checking', 'rollback_required'],
  health_checking: ['promoting', 'rollback_required'],
  promoting: ['running', 'rollback_required'],
  running: ['checking', 'idle', 'rollback_required'],
  rollback_required: ['rolling_back', 'fenced'],
  rolling_back: ['rolled_back', 'fenced'],
  rolled_back: ['idle'],
  failed: ['idle', 'fenced'],
  fenced: [],
};

/** A node in one of these is out of service, or about to be: it holds a slot. */
export const DISRUPTED_UPDATE_STATES: readonly NodeUpdateState[] = [
  'migrating',
  'starting',
  'health_checking',
  'promoting',
  'rollback_required',
  'rolling_back',
];

/** The service may still take the update back from a node in one of these. */
export const CANCELLABLE_UPDATE_STATES: readonly NodeUpdateState[] = [
  'checking',
  'downloading',
  'verifying',
  'staging',
];

/** What the state of a node makes of its assignment; null: as it was. */
export const ASSIGNMENT_AFTER: Record<NodeUpdateState, AssignmentState | null> = {
  idle: null,
  checking: null,
  downloading: null,
  verifying: null,
  staging: null,
  migrating: 'applying',
  starting: 'applying',
  health_checking: 'health',
  promoting: 'health',
  running: 'ok',
  rollback_required: null,
  rolling_back: null,
  rolled_back: 'rolled_back',
  failed: 'failed',
  fenced: 'fenced',
};
