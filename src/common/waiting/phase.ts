import { createHash } from 'node:crypto';

/**
 * Where in a period of `periodMs` milliseconds the turn of `id` is: the same on every instance, and spread evenly over
 * the ids, so that what many do once a period is never done by all of them at once.
 */
export function phaseMs(id: string, periodMs: number): number {
  return createHash('sha256').update(id).digest().readUInt32BE(0) % periodMs;
}
