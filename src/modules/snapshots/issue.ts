import { phaseMs } from '../../common/waiting/phase.js';

/** When a snapshot is issued: the same on every instance, spread over the nodes. */
export interface Issue {
  /** Counts half-lifetimes since the epoch, shifted by the node's phase. */
  number: number;
  /** When this issue began. */
  beganAt: Date;
  /** When the next one begins. */
  endsAt: Date;
}

/**
 * The issue that is current at `now`. A snapshot is issued again at half of its lifetime, so that a node in contact
 * never lets one expire; each node at its own phase, so that a fleet does not come at once.
 */
export function issueAt(nodeId: string, lifetimeSeconds: number, now: Date): Issue {
  const periodMs = Math.max(1, Math.floor(lifetimeSeconds / 2)) * 1000;
  const phase = phaseMs(nodeId, periodMs);
  const number = Math.floor((now.getTime() - phase) / periodMs);
  const began = number * periodMs + phase;
  return { number, beganAt: new Date(began), endsAt: new Date(began + periodMs) };
}

/** The times in a snapshot of this issue, whose generation last grew at `changedAt`. */
export function issueTimes(
  issue: Issue,
  changedAt: Date,
  lifetimeSeconds: number,
): { issuedAt: Date; expiresAt: Date } {
  const issuedAt = changedAt > issue.beganAt ? changedAt : issue.beganAt;
  return { issuedAt, expiresAt: new Date(issuedAt.getTime() + lifetimeSeconds * 1000) };
}
