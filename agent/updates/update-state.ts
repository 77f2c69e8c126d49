/** The specification's states of a node update. */
export const UPDATE_STATES = [
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
export type UpdateState = (typeof UPDATE_STATES)[number];

/** What may follow a state. Out of `fenced` leads only an operator, who raises the epoch. */
export const NEXT_UPDATE_STATES: Record<UpdateState, readonly UpdateState[]> = {
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

/** In these the service is, or may be, out of service: past the point of no return. */
export const DISRUPTED_STATES: readonly UpdateState[] = [
  'migrating',
  'starting',
  'health_checking',
  'promoting',
  'rollback_required',
  'rolling_back',
];

/** No process of the service may run in these, once the control plane has let it go. */
export const HELD_STATES: readonly UpdateState[] = ['migrating', 'starting', 'rolling_back', 'fenced'];

/** Which update it is: with another of these it is another one. */
export interface UpdateIdentity {
  assignmentId: string;
  epoch: number;
  toVersion: string;
  sha256: string;
}

/** An update as far as it has come. */
export interface Progress extends UpdateIdentity {
  state: UpdateState;
  /** All that can be done beforehand is done. */
  isReady: boolean;
}

/** What is wanted now: an update, and whether the service may be taken out of service for it. */
export interface Wanted extends UpdateIdentity {
  isGranted: boolean;
}

/** What is to be done next. */
export type Move =
  /** The next step of the update under way. */
  | 'go_on'
  /** Forget the one under way, and begin the one that is wanted. */
  | 'begin'
  /** Give the one under way up; nothing has happened yet. */
  | 'withdraw'
  /** Nothing, until something changes. */
  | 'rest';

/** Decides, from what is durable and what is wanted, and from nothing else: so it is the same after a crash. */
export function nextMove(known: Progress | null, wanted: Wanted | null): Move {
  if (known === null) return wanted === null ? 'rest' : 'begin';
  const isSame = wanted !== null && isSameUpdate(known, wanted);
  switch (known.state) {
    case 'checking':
    case 'downloading':
    case 'verifying':
    case 'staging':
      if (!isSame) return 'withdraw';
      return known.isReady && !wanted.isGranted ? 'rest' : 'go_on';
    case 'fenced':
      return wanted !== null && wanted.epoch > known.epoch ? 'begin' : 'rest';
    case 'idle':
    case 'running':
    case 'rolled_back':
    case 'failed':
      return wanted === null || isSame ? 'rest' : 'begin';
    default:
      return 'go_on';
  }
}

/** The states by way of which an update that is taken back becomes idle. */
export function wayToIdle(state: UpdateState): readonly UpdateState[] {
  return state === 'verifying' ? ['staging', 'idle'] : ['idle'];
}

function isSameUpdate(one: UpdateIdentity, other: UpdateIdentity): boolean {
  return (
    one.assignmentId === other.assignmentId &&
    one.epoch === other.epoch &&
    one.toVersion === other.toVersion &&
    one.sha256 === other.sha256
  );
}
