import type { AuditEventView } from './audit.schema.js';
import type { AuditRecord } from './audit-record.js';

/** An event as the contract shows it. */
export function auditEventView(record: AuditRecord): AuditEventView {
  const { id, occurredAt, action, clusterId, organizationId, outcome, highRisk, requestId, reason } = record;
  return {
    id,
    sequence: null,
    occurredAt: occurredAt.toISOString(),
    actor: {
      type: record.actorType,
      id: record.actorId,
      displayName: record.actorName,
      ip: record.actorIp,
      userAgent: record.actorUserAgent,
    },
    action,
    resource: { type: record.resourceType, id: record.resourceId, name: record.resourceName },
    clusterId,
    organizationId,
    outcome,
    highRisk,
    requestId,
    reason,
    before: record.before as AuditEventView['before'],
    after: record.after as AuditEventView['after'],
  };
}
