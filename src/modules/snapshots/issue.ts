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

/** The ETag of a snapshot, quotes included. */
export function snapshotEtag(term: number, generation: number, issue: number): string {
  return `"${term}.${generation}.${issue}"`;
}

/** What is current for a node, and for how long if nothing changes. */
export interface CurrentSnapshot {
  etag: string;
  /** That of the next issue: an instance whose clock is a moment ahead gives it out already. */
  nextEtag: string;
  untilMs: number;
}

/** What is current at `now` for a node in this state. */
export function currentSnapshot(nodeId: string, state: IssuedState, now: Date): CurrentSnapshot {
  const { authorityTerm, generation, snapshotLifetimeSeconds } = state;
  const { number, endsAt } = issueAt(nodeId, snapshotLifetimeSeconds, now);
  return {
    etag: snapshotEtag(authorityTerm, generation, number),
    nextEtag: snapshotEtag(authorityTerm, generation, number + 1),
    untilMs: endsAt.getTime() - now.getTime(),
  };
}

/** What of a node's state its issues depend on. */
interface IssuedState {
  authorityTerm: number;
  generation: number;
  snapshotLifetimeSeconds: number;
}
