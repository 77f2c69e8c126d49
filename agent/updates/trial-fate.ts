import type { BootRecord, SlotName } from '../launcher/boot-record.js';
import type { UpdateState } from './update-state.js';

/** How the trial of a new agent stands, seen by the agent that runs. */
export type TrialFate =
  /** The launcher has not heard of it, or knows nothing of it any more. */
  | { kind: 'unknown' }
  /** This agent is the one on trial. */
  | { kind: 'own' }
  /** This agent is the one before it, which runs in order to be compared. */
  | { kind: 'undecided' }
  | { kind: 'confirmed' }
  | { kind: 'reverted'; reason: string };

export function trialFate(record: BootRecord | null, orderId: string, slot: SlotName): TrialFate {
  if (record?.trial?.orderId === orderId) {
    const isOwn = record.trial.phase === 'trying' && record.trial.slot === slot;
    return { kind: isOwn ? 'own' : 'undecided' };
  }
  if (record?.last?.orderId !== orderId) return { kind: 'unknown' };
  if (record.last.outcome === 'confirmed') return { kind: 'confirmed' };
  return { kind: 'reverted', reason: record.last.reason ?? 'it was taken back' };
}

/** What follows for an update of the agent that was let go. */
export type TrialMove =
  | { kind: 'enter'; state: UpdateState; message?: string }
  /** Ask the launcher for the trial. */
  | { kind: 'order' }
  /** Until the launcher has decided. */
  | { kind: 'wait' };

/** Decides from the state and the fate alone: whichever agent runs, and however often it was killed. */
export function trialMove(state: UpdateState, fate: TrialFate, message: string | null): TrialMove {
  const why = message === null ? {} : { message };
  if (state === 'rollback_required') return { kind: 'enter', state: 'rolling_back', ...why };
  if (state === 'rolling_back') return { kind: 'enter', state: 'rolled_back', ...why };
  switch (fate.kind) {
    case 'unknown':
      if (state === 'starting') return { kind: 'order' };
      return {
        kind: 'enter',
        state: 'rollback_required',
        message: 'the launcher knows nothing of it any more',
      };
    case 'own':
      return state === 'starting' ? { kind: 'enter', state: 'health_checking' } : { kind: 'wait' };
    case 'undecided':
      return { kind: 'wait' };
    case 'confirmed':
      return { kind: 'enter', state: AFTER_CONFIRMATION[state] ?? 'running' };
    case 'reverted':
      return { kind: 'enter', state: 'rollback_required', message: fate.reason };
  }
}

const AFTER_CONFIRMATION: Partial<Record<UpdateState, UpdateState>> = {
  starting: 'health_checking',
  health_checking: 'promoting',
  promoting: 'running',
};
