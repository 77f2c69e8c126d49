/** Where an agent to be started stands: one of the two slots, or with the launcher, as it was installed by hand. */
export const SLOT_NAMES = ['installed', 'a', 'b'] as const;
export type SlotName = (typeof SLOT_NAMES)[number];
/** The slots that updates are put into. */
export type UpdateSlot = Exclude<SlotName, 'installed'>;

/** What a running agent asks its launcher for: another agent in its place. */
export interface SwitchOrder {
  /** Names the attempt, and never another one: an order that comes again is known by it. */
  orderId: string;
  slot: UpdateSlot;
  /** What the new agent has to say of itself when it checks in. */
  agentVersion: string;
}

/**
 * Which of the two agents runs while it is not known whether the new one is any good.
 * `trying`: the new one, until it has checked in. `comparing`: the one before it, because the new one was silent; when
 * that one checks in now, the silence was no outage. `waiting`: still the one before it, which is silent too.
 */
export type TrialPhase = 'trying' | 'comparing' | 'waiting';

export interface Trial extends SwitchOrder {
  phase: TrialPhase;
  /** How often the new agent was started in this round. */
  starts: number;
  /** Which round this is, from 1; another one begins after an outage of the control plane. */
  round: number;
  /** How its last process ended; null while none has. */
  lastEnding: string | null;
}

/** How a trial went. */
export interface TrialEnd extends SwitchOrder {
  outcome: 'confirmed' | 'reverted';
  /** Why it was reverted, for people; null when it was not. */
  reason: string | null;
}

/** The whole of what decides which agent runs. Only the launcher writes it. */
export interface BootRecord {
  version: 1;
  /** The agent that is known to be good. */
  current: SlotName;
  trial: Trial | null;
  /** The last trial that is over: the agent that ordered it learns here what became of it. */
  last: TrialEnd | null;
}

/** Of a host where nothing was ever updated. */
export const FIRST_RECORD: BootRecord = { version: 1, current: 'installed', trial: null, last: null };

/** The agent that is to run by this record. */
export function slotToRun({ current, trial }: BootRecord): SlotName {
  return trial?.phase === 'trying' ? trial.slot : current;
}

/** The slot for the next update: never the one that runs, nor the one to come back to. */
export function freeSlot({ current, trial }: BootRecord): UpdateSlot | null {
  if (trial !== null) return null;
  return current === 'a' ? 'b' : 'a';
}
