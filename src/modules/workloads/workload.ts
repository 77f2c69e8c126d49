import type { AuditEvent } from '../../common/audit/audit-event.js';
import { changedMembers } from '../../common/json/changed-members.js';
import type { ReportedState, WorkloadHealth } from '../nodes/workload-report.schema.js';
import type { SnapshotWorkload } from './workloads.schema.js';

/** What an operator wants of a workload. */
export type DesiredWorkload = Omit<SnapshotWorkload, 'serviceType'>;

/** What the agent says of a workload. */
export interface ObservedWorkload {
  instanceId: string | null;
  reportedState: ReportedState;
  reportedVersion: string | null;
  health: WorkloadHealth | null;
  message: string | null;
  /** When it last said something else than before; null while it says nothing. */
  reportedAt: Date | null;
  /** Since when the reported state is what it is. */
  stateSince: Date | null;
}

/** By what a workload is known: one of a type for each node. */
export interface WorkloadKey {
  clusterId: string;
  nodeId: string;
  serviceType: string;
}

/** A workload that somebody wants, or that the agent reports, or both. */
export interface Workload extends WorkloadKey, ObservedWorkload {
  /** Of the member. */
  nodeName: string;
  createdAt: Date;
  /** null: nobody wants it. */
  desired: DesiredWorkload | null;
  /** Who put it last while it is privileged; null when it is not. */
  approval: { at: string; by: { type: string; id: string } } | null;
  desiredAt: Date | null;
  desiredBy: { type: string; id: string } | null;
}

declare module '../../common/audit/audit-event.js' {
  interface AuditActions {
    'workload.created': { before: null; after: DesiredWorkload };
    'workload.updated': { before: Partial<DesiredWorkload>; after: Partial<DesiredWorkload> };
    'workload.deleted': { before: DesiredWorkload; after: null };
  }
}

/** The event of a workload that is wanted from now on, or otherwise than before; null when nothing has changed. */
export function workloadPut(
  key: WorkloadKey,
  before: DesiredWorkload | null,
  after: DesiredWorkload,
): AuditEvent | null {
  if (before === null) return { ...about(key), action: 'workload.created', before, after };
  const changed = changedMembers(before, after);
  return changed === null ? null : { ...about(key), action: 'workload.updated', ...changed };
}

/** The event of a workload that nobody wants any more. */
export function workloadDeleted(key: WorkloadKey, before: DesiredWorkload): AuditEvent {
  return { ...about(key), action: 'workload.deleted', before, after: null };
}

/** Its place in the API is its identity: what is deleted and wanted again is the same workload. */
function about({ clusterId, nodeId, serviceType }: WorkloadKey) {
  const resource = { type: 'workload', id: `${nodeId}/${serviceType}`, name: serviceType };
  return { resource, clusterId, outcome: 'success', reason: null } as const;
}
