import { freeSlots, keepsSlot, mayGrant } from './slots.js';
import { verdictOf } from './verdict.js';
import { takesPart } from './wave-shares.js';
import { dependenciesDone } from './wave-state.js';

/** The decisions on which the safety of a rollout rests, in one place: its tests put a wrong one for each of them, and
 *  want to see it found. */
export const RULES = { dependenciesDone, freeSlots, keepsSlot, mayGrant, takesPart, verdictOf };
export type Rules = typeof RULES;

/** Token of the rules by which a service decides; a test sees what becomes of rollouts by a wrong one. */
export const ROLLOUT_RULES = Symbol('RolloutRules');
