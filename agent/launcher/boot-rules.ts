import type { BootRecord, SwitchOrder, Trial, TrialEnd } from './boot-record.js';

/** Starts of a new agent in one round: a crash may be bad luck, and a host may lose its power, but not three times. */
export const MAX_STARTS = 3;
/** Rounds of a trial: after so many outages that only the new agent ran into it is taken to be the cause. */
export const MAX_ROUNDS = 3;

/** What the launcher has seen. */
export type BootEvent =
  | { kind: 'ordered'; order: SwitchOrder }
  /** The agent of `slotToRun` is about to be started. */
  | { kind: 'starting' }
  /** The running agent was answered by its control plane. */
  | { kind: 'checked_in'; agentVersion: string }
  /** The process of the running agent has ended without being asked to. */
  | { kind: 'ended'; how: string }
  /** The running agent has not checked in for as long as it may take. */
  | { kind: 'silent' }
  /** There is no whole agent in the slot. */
  | { kind: 'unusable'; detail: string };

/** What an event makes of the record; the same object where it changes nothing. */
export function afterEvent(record: BootRecord, event: BootEvent): BootRecord {
  const { trial } = record;
  if (event.kind === 'ordered') return ordered(record, event.order);
  if (trial === null) return event.kind === 'unusable' ? fallenBack(record) : record;
  if (trial.phase === 'trying') return inTrial(record, trial, event);
  return meanwhile(record, trial, event);
}

/** An order for the agent that runs already, and one that was carried out before, ask for nothing. */
function ordered(record: BootRecord, { orderId, slot, agentVersion }: SwitchOrder): BootRecord {
  const isKnown = record.last?.orderId === orderId;
  if (record.trial !== null || isKnown || slot === record.current) return record;
  const trial: Trial = {
    orderId,
    slot,
    agentVersion,
    phase: 'trying',
    starts: 0,
    round: 1,
    lastEnding: null,
  };
  return { ...record, trial };
}

/** The new agent runs, or is about to. */
function inTrial(
  record: BootRecord,
  trial: Trial,
  event: Exclude<BootEvent, { kind: 'ordered' }>,
): BootRecord {
  switch (event.kind) {
    case 'starting':
      if (trial.starts < MAX_STARTS) return { ...record, trial: { ...trial, starts: trial.starts + 1 } };
      return over(record, trial, startedInVain(trial));
    case 'checked_in':
      if (event.agentVersion === trial.agentVersion) return over(record, trial, null);
      return over(record, trial, `it says that it is version ${event.agentVersion}`);
    case 'ended':
      return { ...record, trial: { ...trial, lastEnding: event.how } };
    case 'silent':
      return { ...record, trial: { ...trial, phase: 'comparing' } };
    case 'unusable':
      return over(record, trial, event.detail);
  }
}

/** The agent from before the trial runs, in order to tell a bad agent from a control plane that is away. */
function meanwhile(record: BootRecord, trial: Trial, { kind }: BootEvent): BootRecord {
  if (kind === 'silent') return { ...record, trial: { ...trial, phase: 'waiting' } };
  if (kind === 'unusable') return { ...fallenBack(record), trial };
  if (kind !== 'checked_in') return record;
  if (trial.phase === 'comparing')
    return over(record, trial, 'it did not check in; the one before it did, right after');
  if (trial.round >= MAX_ROUNDS)
    return over(record, trial, `it did not check in in ${MAX_ROUNDS} rounds, with an outage in each`);
  const again: Trial = { ...trial, phase: 'trying', starts: 0, round: trial.round + 1, lastEnding: null };
  return { ...record, trial: again };
}

function startedInVain({ lastEnding }: Trial): string {
  const how = lastEnding === null ? '' : `; at last it ${lastEnding}`;
  return `it was started ${MAX_STARTS} times and did not check in${how}`;
}

/** @param reason why the new agent is not kept; null: it is */
function over(record: BootRecord, { orderId, slot, agentVersion }: Trial, reason: string | null): BootRecord {
  const outcome: TrialEnd['outcome'] = reason === null ? 'confirmed' : 'reverted';
  const current = reason === null ? slot : record.current;
  return { ...record, current, trial: null, last: { orderId, slot, agentVersion, outcome, reason } };
}

/** The files of the current agent are gone or damaged. The one that came with the launcher is always there. */
function fallenBack(record: BootRecord): BootRecord {
  return { ...record, current: 'installed' };
}
