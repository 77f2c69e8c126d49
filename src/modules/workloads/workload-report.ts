import { createHash } from 'node:crypto';
import type { WorkloadReport } from '../nodes/workload-report.schema.js';
import { keptMessage } from './report-text.js';
import type { ObservedWorkload, WorkloadKey } from './workload.js';

/** What an agent says of one workload, in the form in which it is kept. */
export type Said = Omit<ObservedWorkload, 'reportedAt' | 'stateSince'> & { instanceId: string };

/** What is kept of the reports of one workload. */
export interface KnownReport extends WorkloadKey, ObservedWorkload {
  /** Whether somebody wants the workload. */
  isDesired: boolean;
  /** When this instance took the place of the ones before it. */
  instanceSince: Date | null;
  /** Instances before this one, newest first. */
  pastInstanceIds: readonly string[];
}

/** A change that the history of the workload tells of. */
export interface Transition extends WorkloadKey {
  occurredAt: Date;
  instanceId: string | null;
  previousState: ObservedWorkload['reportedState'];
  reportedState: ObservedWorkload['reportedState'];
  reportedVersion: string | null;
  previousHealth: ObservedWorkload['health'];
  health: ObservedWorkload['health'];
  message: string | null;
}

/** How a report follows on what is known. */
export type Merged =
  /** Of an instance that another one has taken the place of. */
  | { verdict: 'late' }
  /** Nothing new. */
  | { verdict: 'same' }
  /** @property transition null where only the message is another */
  | { verdict: 'changed'; next: KnownReport; transition: Transition | null };

/** What a heartbeat's reports lead to. */
export interface MergedHeartbeat {
  written: KnownReport[];
  /** Wanted, and not reported any more. */
  silenced: WorkloadKey[];
  /** Neither wanted nor reported any more. */
  removed: WorkloadKey[];
  transitions: Transition[];
  /** False: something was left out, so that the same heartbeat may come to something else later. */
  isComplete: boolean;
}

/** Instances that are remembered as past. */
const PAST_INSTANCES = 8;
/** How late a report can be: what comes later than any client waits for an answer is true, whatever its instance id. */
const LATE_MS = 300_000;
/** Workloads of a node that nobody wants and that are shown all the same. */
export const MAX_UNDESIRED = 32;

/** What an agent says of each type. It supervises one instance of a type: of several the last one counts. */
export function saidOf(reports: readonly WorkloadReport[]): Map<string, Said> {
  return new Map(reports.map((report) => [report.serviceType, said(report)]));
}

export function said({
  instanceId,
  reportedState,
  version,
  health,
  message,
}: Omit<WorkloadReport, 'serviceType'>): Said {
  return {
    instanceId,
    reportedState,
    reportedVersion: version ?? null,
    health: health ?? null,
    message: keptMessage(message),
  };
}

/** A digest of all that a heartbeat says of workloads, whatever the order in which it does; 48 bits, so that it is a
 *  number everywhere. */
export function markOf(workloads: ReadonlyMap<string, Said>): number {
  const lines = [...workloads].map(
    ([serviceType, { instanceId, reportedState, reportedVersion, health, message }]) =>
      JSON.stringify([serviceType, instanceId, reportedState, reportedVersion, health, message]),
  );
  return createHash('sha256').update(lines.sort().join('\n')).digest().readUIntBE(0, 6);
}

/** Merges one report into what is known of its workload; null: nothing is. */
export function mergeReport(key: WorkloadKey, known: KnownReport | null, report: Said, now: Date): Merged {
  const last = known ?? unreported(key);
  if (isLate(last, report.instanceId, now)) return { verdict: 'late' };
  if (last.reportedAt !== null && isSame(last, report)) return { verdict: 'same' };
  const isSameInstance = last.instanceId === report.instanceId;
  const past = last.instanceId === null ? last.pastInstanceIds : [last.instanceId, ...last.pastInstanceIds];
  const next: KnownReport = {
    ...last,
    ...report,
    reportedAt: now,
    stateSince: last.reportedState === report.reportedState ? (last.stateSince ?? now) : now,
    instanceSince: isSameInstance ? last.instanceSince : now,
    pastInstanceIds: isSameInstance
      ? last.pastInstanceIds
      : past.filter((id) => id !== report.instanceId).slice(0, PAST_INSTANCES),
  };
  return { verdict: 'changed', next, transition: transition(last, next, now) };
}

/**
 * Merges a heartbeat, which names all that its agent supervises: of a wanted workload that is not among it nothing is
 * known any more, and one that nobody wants is gone. Workloads that nobody wants are taken in up to a number.
 */
export function mergeHeartbeat(
  node: Omit<WorkloadKey, 'serviceType'>,
  known: readonly KnownReport[],
  workloads: ReadonlyMap<string, Said>,
  now: Date,
): MergedHeartbeat {
  const merged: MergedHeartbeat = {
    written: [],
    silenced: [],
    removed: [],
    transitions: [],
    isComplete: true,
  };
  let undesired = 0;
  for (const last of known) {
    if (workloads.has(last.serviceType)) undesired += last.isDesired ? 0 : 1;
    else if (!last.isDesired) merged.removed.push(keyOf(last));
    else if (last.reportedAt !== null) {
      const change = transition(last, { ...last, ...SILENT }, now);
      merged.silenced.push(keyOf(last));
      if (change !== null) merged.transitions.push(change);
    }
  }
  const byType = new Map(known.map((last) => [last.serviceType, last]));
  for (const [serviceType, report] of workloads) {
    const last = byType.get(serviceType) ?? null;
    if (last === null && undesired >= MAX_UNDESIRED) {
      merged.isComplete = false;
      continue;
    }
    const result = mergeReport({ ...node, serviceType }, last, report, now);
    if (last === null) undesired += 1;
    if (result.verdict === 'late') merged.isComplete = false;
    if (result.verdict === 'changed') {
      merged.written.push(result.next);
      if (result.transition !== null) merged.transitions.push(result.transition);
    }
  }
  return merged;
}

/** What is known of a workload of which its agent says nothing. */
const SILENT = {
  instanceId: null,
  reportedState: 'unknown',
  reportedVersion: null,
  health: null,
  message: null,
  reportedAt: null,
} as const;

function unreported(key: WorkloadKey): KnownReport {
  return { ...key, ...SILENT, stateSince: null, isDesired: false, instanceSince: null, pastInstanceIds: [] };
}

function keyOf({ clusterId, nodeId, serviceType }: WorkloadKey): WorkloadKey {
  return { clusterId, nodeId, serviceType };
}

function isLate({ pastInstanceIds, instanceSince }: KnownReport, instanceId: string, now: Date): boolean {
  if (instanceSince === null || now.getTime() - instanceSince.getTime() >= LATE_MS) return false;
  return pastInstanceIds.includes(instanceId);
}

function isSame(last: ObservedWorkload, report: Said): boolean {
  return looksAlike(last, report) && last.message === report.message;
}

function looksAlike(
  one: Omit<Said, 'instanceId'> & { instanceId: string | null },
  other: typeof one,
): boolean {
  return (
    one.instanceId === other.instanceId &&
    one.reportedState === other.reportedState &&
    one.reportedVersion === other.reportedVersion &&
    one.health === other.health
  );
}

function transition(last: KnownReport, next: KnownReport, now: Date): Transition | null {
  if (looksAlike(last, next)) return null;
  return {
    ...keyOf(next),
    occurredAt: now,
    instanceId: next.instanceId,
    previousState: last.reportedState,
    reportedState: next.reportedState,
    reportedVersion: next.reportedVersion,
    previousHealth: last.health,
    health: next.health,
    message: next.message,
  };
}
