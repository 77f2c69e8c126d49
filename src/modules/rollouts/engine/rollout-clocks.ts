import type { RolloutFacts, WaveFacts } from './rollout-facts.js';

/** How long the wave has soaked. Its clock stands still while the rollout does. */
export function soakedSeconds({ now, runningSince }: RolloutFacts, wave: WaveFacts): number {
  if (wave.soakingSince === null) return 0;
  const since = Math.max(wave.soakingSince.getTime(), runningSince.getTime());
  return (wave.soakedMs + Math.max(0, now.getTime() - since)) / 1_000;
}

/** Nothing has moved for longer than it may. A pause restarts the clock. */
export function progressIsOverdue(
  facts: Pick<RolloutFacts, 'now' | 'runningSince' | 'lastProgressAt' | 'progressDeadlineSeconds'>,
): boolean {
  const since = Math.max(facts.runningSince.getTime(), facts.lastProgressAt.getTime());
  return facts.now.getTime() - since > facts.progressDeadlineSeconds * 1_000;
}
