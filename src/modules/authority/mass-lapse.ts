import type { AuditEvent } from '../../common/audit/audit-event.js';

/** What can lapse together. */
export type LapsingKind = 'nodes' | 'leases';

/** More than half of a cluster lapsed at once. The likely culprit is the control plane, or the way to it. */
export interface MassLapse {
  /** When the first of them lapsed. */
  since: Date;
  lapsed: number;
  /** How many had not lapsed before that. */
  population: number;
}

/** Fewer than these have no brake: in a small cluster half is soon gone. */
export const BRAKE_POPULATION = 20;
/** Within so many seconds, counted from the first: half-open, so that the last one lapses before their end. */
export const BRAKE_SECONDS = 10;

/** Whether so many of so many, within the window, are a mass lapse. */
export function isMassLapse({ lapsed, population }: Pick<MassLapse, 'lapsed' | 'population'>): boolean {
  return population >= BRAKE_POPULATION && lapsed * 2 > population;
}

/**
 * The largest mass lapse that holds still; null for none. It ends when enough have come back or are members no more.
 * @param lapsedAt the instants of those that have lapsed and have not come back
 * @param alive how many have not lapsed
 */
export function findMassLapse(lapsedAt: readonly Date[], alive: number): MassLapse | null {
  const instants = lapsedAt.map((instant) => instant.getTime()).sort((one, other) => one - other);
  let found: MassLapse | null = null;
  let end = 0;
  for (const [start, since] of instants.entries()) {
    // Of equal instants the first begins the window.
    if (start > 0 && instants[start - 1] === since) continue;
    while (end < instants.length && (instants[end] ?? 0) < since + BRAKE_SECONDS * 1_000) end += 1;
    const lapse = {
      since: new Date(since),
      lapsed: end - start,
      population: alive + instants.length - start,
    };
    if (isMassLapse(lapse) && lapse.lapsed > (found?.lapsed ?? 0)) found = lapse;
  }
  return found;
}

declare module '../../common/audit/audit-event.js' {
  interface AuditActions {
    'authority.mass_lapse_began': {
      before: null;
      after: { kind: LapsingKind; since: string; lapsed: number; population: number };
    };
    'authority.mass_lapse_ended': { before: { kind: LapsingKind; since: string }; after: null };
  }
}

const about = (clusterId: string) => ({
  resource: { type: 'authority', id: clusterId, name: null },
  clusterId,
  outcome: 'success' as const,
  highRisk: false,
  reason: null,
});

export function massLapseBegan(clusterId: string, kind: LapsingKind, lapse: MassLapse): AuditEvent {
  const { since, lapsed, population } = lapse;
  const after = { kind, since: since.toISOString(), lapsed, population };
  return { action: 'authority.mass_lapse_began', ...about(clusterId), before: null, after };
}

export function massLapseEnded(clusterId: string, kind: LapsingKind, since: Date): AuditEvent {
  const before = { kind, since: since.toISOString() };
  return { action: 'authority.mass_lapse_ended', ...about(clusterId), before, after: null };
}
