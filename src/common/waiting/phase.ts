import { hash } from 'node:crypto';

/** Hexadecimal digits of 32 bits. */
const DIGITS = 8;

/**
 * Where in a period of `periodMs` milliseconds the turn of `id` is: the same on every instance, and spread evenly over
 * the ids, so that what many do once a period is never done by all of them at once.
 */
export function phaseMs(id: string, periodMs: number): number {
  return Number.parseInt(hash('sha256', id, 'hex').slice(0, DIGITS), 16) % periodMs;
}
