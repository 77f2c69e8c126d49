import type { Snapshot } from './snapshot.js';

/**
 * The roles that the node may act in at `now`, sorted, each once. None unless the membership is active, and
 * none once the snapshot has expired and its grace for an absent control plane is over too.
 */
export function effectiveRoles(snapshot: Snapshot, now: Date): string[] {
  return hasLapsed(snapshot, now) ? [] : rolesInTime(snapshot, now);
}

/** Whether the snapshot has expired and the grace after that is over. */
export function hasLapsed(snapshot: Snapshot, now: Date): boolean {
  return now.getTime() >= lapsesAt(snapshot);
}

/**
 * The roles whose own time it is, sorted, each once, whatever the snapshot's age: what a workload may still
 * rely on that is to be kept when the control plane is lost. None unless the membership is active.
 */
export function rolesInTime(snapshot: Snapshot, now: Date): string[] {
  if (snapshot.membershipStatus !== 'active') return [];
  const current = snapshot.roles.filter(
    (role) => startOf(role.validFrom) <= now.getTime() && now.getTime() < endOf(role.validUntil),
  );
  return [...new Set(current.map((role) => role.role))].sort();
}

/** The next instant after `now` at which `effectiveRoles` may differ; null when there is none. */
export function nextRoleChange(snapshot: Snapshot, now: Date): Date | null {
  const bounds = snapshot.roles.flatMap((role) => [startOf(role.validFrom), endOf(role.validUntil)]);
  const ahead = [lapsesAt(snapshot), ...bounds].filter((at) => Number.isFinite(at) && at > now.getTime());
  return ahead.length === 0 ? null : new Date(Math.min(...ahead));
}

/** When the snapshot stops counting altogether, in epoch milliseconds. */
function lapsesAt(snapshot: Snapshot): number {
  return Date.parse(snapshot.expiresAt) + snapshot.degradedGraceSeconds * 1_000;
}

function startOf(validFrom: string | null): number {
  return validFrom === null ? Number.NEGATIVE_INFINITY : Date.parse(validFrom);
}

function endOf(validUntil: string | null): number {
  return validUntil === null ? Number.POSITIVE_INFINITY : Date.parse(validUntil);
}
