import type { AuditEvent } from '../../common/audit/audit-event.js';
import { canonicalJson } from '../../common/json/canonical-json.js';
import { changedMembers } from '../../common/json/changed-members.js';
import type { PolicyView } from './policy.schema.js';

declare module '../../common/audit/audit-event.js' {
  interface AuditActions {
    'cluster_policy.updated': { before: Partial<PolicyView>; after: Partial<PolicyView> };
  }
}

/** The event of a changed policy, holding only what changed; null when nothing did. */
export function policyUpdated(clusterId: string, before: PolicyView, after: PolicyView): AuditEvent | null {
  const changed = changedMembers(before, after);
  if (changed === null) return null;
  return {
    action: 'cluster_policy.updated',
    resource: { type: 'cluster_policy', id: clusterId, name: null },
    clusterId,
    outcome: 'success',
    reason: null,
    ...changed,
  };
}

/** Whether other capabilities are denied now. */
export function changesCapabilities(before: PolicyView, after: PolicyView): boolean {
  return canonicalJson(before.capabilityPolicy) !== canonicalJson(after.capabilityPolicy);
}

/** Whether the change concerns what every node's snapshot holds. */
export function changesSnapshots(before: PolicyView, after: PolicyView): boolean {
  return (
    before.degradedGraceSeconds !== after.degradedGraceSeconds ||
    before.snapshotLifetimeSeconds !== after.snapshotLifetimeSeconds ||
    changesCapabilities(before, after)
  );
}
