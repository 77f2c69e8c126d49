/** In the order of their rank, which never goes down. */
export const WAVE_STATES = ['pending', 'gated', 'active', 'soaking', 'done', 'halted'] as const;
export type WaveState = (typeof WAVE_STATES)[number];

export const NEXT_WAVE_STATES: Record<WaveState, readonly WaveState[]> = {
  pending: ['gated'],
  gated: ['active', 'done'],
  active: ['soaking', 'halted'],
  soaking: ['done', 'halted'],
  done: [],
  halted: [],
};

export function rankOf(state: WaveState): number {
  return WAVE_STATES.indexOf(state);
}

/** Its members are written down, and may be offered the version. */
export function isActivated(state: WaveState): boolean {
  return state === 'active' || state === 'soaking' || state === 'done';
}

/** @param states those of the waves that it depends on */
export function dependenciesDone(states: readonly WaveState[]): boolean {
  return states.every((state) => state === 'done');
}
