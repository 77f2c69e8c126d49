import { attemptsAfter, type Ending, isRestarted, restartDelayMs } from './restart-policy.js';
import type { CheckOrder, Order, RestOrder, RunOrder } from './service-order.js';

/** A service without a health check counts as running once its process has lived for so long. */
export const SETTLING_MS = 500;
/** Until a check has succeeded for the first time it is repeated so often, or at its interval when that is shorter. */
const FIRST_CHECKS_MS = 1_000;

export type Health = 'healthy' | 'unhealthy' | 'unknown';

/** A process that is there, or about to be. Times are milliseconds of a clock that nobody sets. */
export interface Live {
  at: 'live';
  key: string;
  version: string | null;
  stage: 'starting' | 'running' | 'stopping';
  /** Null until the process is there. */
  startedAt: number | null;
  health: Health;
  /** What the last failed check said; null after a good one. */
  complaint: string | null;
  failedChecks: number;
  /** Grows when another check is ordered: an answer to the old one counts for nothing. */
  checkRound: number;
  /** Null while a check is under way, or none is due. */
  nextCheckAt: number | null;
  /** It is being stopped because it is unhealthy, and not because it is no longer wanted. */
  isUnhealthyStop: boolean;
  /** What it had started is still being ended: it neither comes up any more nor falls ill. */
  hasExited: boolean;
}

/** The process ended; another is started at `until`. */
interface Waiting {
  at: 'waiting';
  until: number;
  delayMs: number;
  key: string;
  version: string | null;
  ending: Ending;
}

/** The process ended, and its policy wants no other. */
interface Ended {
  at: 'ended';
  key: string;
  version: string | null;
  ending: Ending;
}

/** All that is known of one service. */
export interface ServiceState {
  order: Order;
  phase: { at: 'rest' } | Live | Waiting | Ended;
  /** Of the present process, or of the last one. */
  instanceId: string;
  /** Starts in a row that did not last. */
  attempts: number;
}

export type ServiceEvent =
  | { kind: 'ordered'; order: Order }
  | { kind: 'started' }
  /** The process is gone; what it had started may not be. */
  | { kind: 'exited' }
  /** The process and all that it had started are gone, or it could not be started. */
  | { kind: 'ended'; ending: Ending }
  | ({ kind: 'checked' } & CheckResult)
  | { kind: 'tick' };

/** What came of a check of one process; `complaint` null when it was well. */
export interface CheckResult {
  instanceId: string;
  checkRound: number;
  complaint: string | null;
}

export type Effect = 'start' | 'stop' | 'check';

/** What is so now, and what has to be done for it. */
export interface Step {
  state: ServiceState;
  effects: readonly Effect[];
}

/** When an event happens, and a fresh id in case that a process is started. */
export interface Moment {
  now: number;
  newId: string;
}

const AT_REST: RestOrder = { kind: 'rest', reportedState: 'stopped', version: null, message: null };

/** A service of which nothing is known yet. */
export function newService(instanceId: string): ServiceState {
  return { order: AT_REST, phase: { at: 'rest' }, instanceId, attempts: 0 };
}

/**
 * The next state of a service. At most one process: `start` is asked for only when the last one has ended
 * with all that it had started. A process that is no longer wanted is asked to stop in the same step.
 */
export function advance(state: ServiceState, event: ServiceEvent, moment: Moment): Step {
  switch (event.kind) {
    case 'ordered':
      return onOrder({ ...state, order: event.order }, state.order, moment);
    case 'started':
      return onStarted(state, moment.now);
    case 'exited':
      return onExited(state);
    case 'ended':
      return onEnded(state, event.ending, moment);
    case 'checked':
      return onChecked(state, event, moment.now);
    case 'tick':
      return onTick(state, moment);
  }
}

/** When the next `tick` is due; null when time alone changes nothing. */
export function wakeAt(state: ServiceState): number | null {
  const { phase } = state;
  if (phase.at === 'waiting') return phase.until;
  if (phase.at !== 'live' || !isWatched(phase) || phase.startedAt === null) return null;
  const settledAt =
    phase.stage === 'starting' && !isChecked(state.order) ? phase.startedAt + SETTLING_MS : null;
  return settledAt ?? phase.nextCheckAt;
}

function onOrder(state: ServiceState, before: Order, moment: Moment): Step {
  const { order, phase } = state;
  if (order.kind === 'rest') {
    const fresh = { ...state, attempts: 0 };
    return phase.at === 'live' ? stopped(fresh, phase, false) : still({ ...fresh, phase: { at: 'rest' } });
  }
  switch (phase.at) {
    case 'rest':
      return started(state, order, moment);
    case 'waiting':
    case 'ended':
      if (phase.key !== order.launch.key) return started({ ...state, attempts: 0 }, order, moment);
      return afterPolicyChange(state, phase, order, moment.now);
    case 'live':
      if (phase.stage === 'stopping') return still(state);
      if (phase.key !== order.launch.key) return stopped({ ...state, attempts: 0 }, phase, false);
      return isSameCheck(before, order) ? still(state) : checkedAnew(state, phase, order, moment.now);
  }
}

/** The policy decides about an ending that lies behind as if it had always been this one. */
function afterPolicyChange(state: ServiceState, phase: Waiting | Ended, order: RunOrder, now: number): Step {
  const { key, version, ending } = phase;
  if (!isRestarted(order.restart, ending))
    return still({ ...state, phase: { at: 'ended', key, version, ending } });
  return phase.at === 'waiting' ? still(state) : waiting(state, phase, order, now);
}

function onStarted(state: ServiceState, now: number): Step {
  const { phase, order } = state;
  if (phase.at !== 'live') return still(state);
  const nextCheckAt = isChecked(order) && phase.stage === 'starting' ? now + firstChecksMs(order) : null;
  return still({ ...state, phase: { ...phase, startedAt: now, nextCheckAt } });
}

function onExited(state: ServiceState): Step {
  const { phase } = state;
  return still(phase.at === 'live' ? { ...state, phase: { ...phase, hasExited: true } } : state);
}

function onEnded(state: ServiceState, ending: Ending, moment: Moment): Step {
  const { phase, order } = state;
  if (phase.at !== 'live') return still(state);
  if (order.kind === 'rest') return still({ ...state, phase: { at: 'rest' } });
  if (phase.key !== order.launch.key) return started({ ...state, attempts: 0 }, order, moment);
  const isOwnEnd = phase.stage !== 'stopping' || phase.isUnhealthyStop;
  if (!isOwnEnd) return started(state, order, moment); // no longer wanted for a moment, and wanted again
  const why = phase.isUnhealthyStop
    ? { isSuccess: false, text: `was unhealthy: ${phase.complaint}` }
    : ending;
  const ranMs = phase.startedAt === null ? 0 : moment.now - phase.startedAt;
  const counted = { ...state, attempts: attemptsAfter(order.restart, state.attempts, ranMs) };
  const { key, version } = phase;
  if (isRestarted(order.restart, why))
    return waiting(counted, { key, version, ending: why }, order, moment.now);
  return still({ ...counted, phase: { at: 'ended', key, version, ending: why } });
}

function onChecked(state: ServiceState, result: CheckResult, now: number): Step {
  const { phase, order } = state;
  if (phase.at !== 'live' || !isWatched(phase)) return still(state);
  if (result.instanceId !== state.instanceId || result.checkRound !== phase.checkRound) return still(state);
  if (order.kind === 'rest' || !isChecked(order)) return still(state);
  const { intervalSeconds, failureThreshold } = order.check.make;
  const intervalMs = intervalSeconds * 1_000;
  const { complaint } = result;
  if (complaint === null) {
    const well = { stage: 'running', health: 'healthy', complaint, failedChecks: 0 } as const;
    return still({ ...state, phase: { ...phase, ...well, nextCheckAt: now + intervalMs } });
  }
  const failedChecks = phase.failedChecks + 1;
  // A service that has not been well yet gets as long as a running one that falls ill.
  const isStarting = phase.stage === 'starting';
  const isTooLate = now - (phase.startedAt ?? now) >= failureThreshold * intervalMs;
  const isUnhealthy = isStarting ? isTooLate : failedChecks >= failureThreshold;
  const nextCheckAt = now + (isStarting && !isTooLate ? firstChecksMs(order) : intervalMs);
  if (!isUnhealthy) return still({ ...state, phase: { ...phase, complaint, failedChecks, nextCheckAt } });
  const ill = { ...phase, health: 'unhealthy', complaint, failedChecks, nextCheckAt } as const;
  if (isRestarted(order.restart, { isSuccess: false })) return stopped(state, ill, true);
  return still({ ...state, phase: { ...ill, stage: 'running' } });
}

function onTick(state: ServiceState, moment: Moment): Step {
  const at = wakeAt(state);
  const { phase, order } = state;
  if (at === null || moment.now < at || order.kind === 'rest') return still(state);
  if (phase.at === 'waiting') return started({ ...state, attempts: state.attempts + 1 }, order, moment);
  if (phase.at !== 'live') return still(state);
  if (!isChecked(order)) return still({ ...state, phase: { ...phase, stage: 'running' } });
  return { state: { ...state, phase: { ...phase, nextCheckAt: null } }, effects: ['check'] };
}

function started(state: ServiceState, order: RunOrder, { newId }: Moment): Step {
  const { key, version } = order.launch;
  const phase: Live = {
    at: 'live',
    key,
    version,
    stage: 'starting',
    startedAt: null,
    health: 'unknown',
    complaint: null,
    failedChecks: 0,
    checkRound: 0,
    nextCheckAt: null,
    isUnhealthyStop: false,
    hasExited: false,
  };
  return { state: { ...state, phase, instanceId: newId }, effects: ['start'] };
}

/** Asks for the stop once; a stop for illness becomes one for good when the service is no longer wanted. */
function stopped(state: ServiceState, phase: Live, isUnhealthyStop: boolean): Step {
  const effects: Effect[] = phase.stage === 'stopping' ? [] : ['stop'];
  return {
    state: { ...state, phase: { ...phase, stage: 'stopping', nextCheckAt: null, isUnhealthyStop } },
    effects,
  };
}

function waiting(
  state: ServiceState,
  past: { key: string; version: string | null; ending: Ending },
  order: RunOrder,
  now: number,
): Step {
  const { key, version, ending } = past;
  const delayMs = restartDelayMs(order.restart, state.attempts);
  return still({ ...state, phase: { at: 'waiting', until: now + delayMs, delayMs, key, version, ending } });
}

function checkedAnew(state: ServiceState, phase: Live, order: RunOrder, now: number): Step {
  const checkRound = phase.checkRound + 1;
  const fresh = { ...phase, health: 'unknown', complaint: null, failedChecks: 0, checkRound } as const;
  const nextCheckAt = isChecked(order) && phase.startedAt !== null ? now + firstChecksMs(order) : null;
  return still({ ...state, phase: { ...fresh, nextCheckAt } });
}

function still(state: ServiceState): Step {
  return { state, effects: [] };
}

/** Whether time and checks may still change what is said of it. */
function isWatched({ stage, hasExited }: Live): boolean {
  return stage !== 'stopping' && !hasExited;
}

type CheckedOrder = RunOrder & { check: Extract<CheckOrder, { make: unknown }> };

function isChecked(order: Order): order is CheckedOrder {
  return order.kind === 'run' && order.check !== null && 'make' in order.check;
}

function isSameCheck(one: Order, other: RunOrder): boolean {
  return one.kind === 'run' && JSON.stringify(one.check) === JSON.stringify(other.check);
}

function firstChecksMs(order: CheckedOrder): number {
  return Math.min(FIRST_CHECKS_MS, order.check.make.intervalSeconds * 1_000);
}
