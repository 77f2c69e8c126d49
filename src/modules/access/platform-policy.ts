import type { AuditEvent } from '../../common/audit/audit-event.js';
import { changedMembers } from '../../common/json/changed-members.js';
import type { PlatformPolicyView } from './platform-policy.schema.js';

declare module '../../common/audit/audit-event.js' {
  interface AuditActions {
    'platform_policy.updated': { before: Partial<PlatformPolicyView>; after: Partial<PlatformPolicyView> };
  }
}

/** The event of a changed policy, holding only what changed; null when nothing did. */
export function platformPolicyUpdated(
  current: PlatformPolicyView,
  next: PlatformPolicyView,
): AuditEvent | null {
  const changed = changedMembers(current, next);
  if (changed === null) return null;
  return {
    action: 'platform_policy.updated',
    resource: { type: 'platform_policy', id: 'platform', name: null },
    clusterId: null,
    outcome: 'success',
    reason: null,
    ...changed,
  };
}
