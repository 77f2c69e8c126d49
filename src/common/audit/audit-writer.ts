import { sql } from '../database/sql.js';
import { newId } from '../ids/uuid.js';
import type { Actor } from '../request/actor.js';
import type { Tx } from '../transaction/tx.js';
import type { AuditEvent } from './audit-event.js';

/** Who caused an event, and by which request. */
export interface AuditCircumstances {
  actor: Actor;
  requestId: string | null;
  highRisk: boolean;
}

/** An event with its own circumstances: one transaction may be that of several requests. */
export interface CausedEvent {
  event: AuditEvent;
  by: AuditCircumstances;
}

/** Longest that a text from outside stands in an event. */
const TEXT_LIMIT = 512;

/** Adds `events` to the audit log and the successful ones to the change feed, in the transaction that they tell of. */
export function writeAuditEvents(tx: Pick<Tx, 'send'>, events: readonly CausedEvent[]): void {
  const rows = events.map(({ event, by: { actor, requestId, highRisk } }) => ({
    id: newId(),
    actor_type: actor.type,
    actor_id: actor.id,
    actor_name: actor.displayName,
    actor_ip: actor.ip,
    actor_user_agent: actor.userAgent?.slice(0, TEXT_LIMIT) ?? null,
    request_id: requestId,
    action: event.action,
    resource_type: event.resource.type,
    resource_id: event.resource.id,
    resource_name: event.resource.name,
    cluster_id: event.clusterId,
    organization_id: event.organizationId ?? null,
    outcome: event.outcome,
    high_risk: event.highRisk ?? highRisk,
    reason: event.reason?.slice(0, TEXT_LIMIT) ?? null,
    before: event.before,
    after: event.after,
  }));
  tx.send(sql`
    WITH written AS (
      INSERT INTO audit_events (id, occurred_at, actor_type, actor_id, actor_name, actor_ip, actor_user_agent,
             action, resource_type, resource_id, resource_name, cluster_id, organization_id, outcome, high_risk,
             request_id, reason, before, after)
      SELECT e.id, now(), e.actor_type, e.actor_id, e.actor_name, e.actor_ip, e.actor_user_agent, e.action,
             e.resource_type, e.resource_id, e.resource_name, e.cluster_id, e.organization_id, e.outcome, e.high_risk,
             e.request_id, e.reason, nullif(e.before, 'null'::jsonb), nullif(e.after, 'null'::jsonb)
        FROM jsonb_to_recordset(${JSON.stringify(rows)}::jsonb) AS e (id uuid, actor_type text, actor_id text,
             actor_name text, actor_ip text, actor_user_agent text, action text, resource_type text, resource_id text,
             resource_name text, cluster_id uuid, organization_id uuid, outcome text, high_risk boolean,
             request_id text, reason text, before jsonb, after jsonb)
      RETURNING action, resource_type, resource_id, cluster_id, outcome
    )
    INSERT INTO change_feed (kind, resource_type, resource_id, cluster_id)
    SELECT w.action, w.resource_type, coalesce(w.resource_id, ''), w.cluster_id
      FROM written AS w WHERE w.outcome = 'success'`);
}
