import { isObject, isText } from '../json-values.js';

/** In the environment of an agent that a launcher has started: the slot that it was started from. */
export const LAUNCHED_VARIABLE = 'RAP_AGENT_SLOT';
/** The file descriptor on which the two speak, one JSON object a line. Its end says that the other one is gone. */
export const LINK_FD = 3;

/** The launcher's only word: the boot record has changed. */
export const LOOK = { look: true } as const;

/** What an agent says. */
export type AgentWord =
  /** The control plane has answered it. It is said again until the boot record says that it was heard. */
  | { checkedIn: string }
  /** There is an order to be taken. */
  | { ordered: true };

/** Null for what no agent of today says; one of tomorrow may say more. */
export function parseWord(value: unknown): AgentWord | null {
  if (!isObject(value)) return null;
  if (isText(value.checkedIn)) return { checkedIn: value.checkedIn };
  return value.ordered === true ? { ordered: true } : null;
}
