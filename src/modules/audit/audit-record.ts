import type { Actor } from '../../common/request/actor.js';

/** One event as the log keeps it. */
export interface AuditRecord {
  id: string;
  occurredAt: Date;
  actorType: Actor['type'];
  actorId: string | null;
  actorName: string | null;
  actorIp: string | null;
  actorUserAgent: string | null;
  action: string;
  resourceType: string;
  resourceId: string | null;
  resourceName: string | null;
  clusterId: string | null;
  organizationId: string | null;
  outcome: 'success' | 'denied' | 'failed';
  highRisk: boolean;
  requestId: string | null;
  reason: string | null;
  before: unknown;
  after: unknown;
}

/** Which events are meant; what is left out does not matter. */
export interface AuditFilter {
  /** Those that the reader may see; null: every cluster, and what concerns none. */
  clusters: readonly string[] | null;
  clusterId?: string | undefined;
  organizationId?: string | undefined;
  actorId?: string | undefined;
  actorType?: string | undefined;
  action?: string | undefined;
  resourceType?: string | undefined;
  resourceId?: string | undefined;
  /** Inclusive. */
  from?: string | undefined;
  /** Exclusive. */
  to?: string | undefined;
  highRisk?: boolean | undefined;
  outcome?: string | undefined;
  requestId?: string | undefined;
  /** A text in the action, the names, the resource's id or the reason; case does not matter. */
  q?: string | undefined;
}

/** Instances that write events have clocks of their own; a day is more than any of them is off. */
const SKEW_MS = 86_400_000;
const VERSION_AT = 14;

/**
 * When an event with this id was written, give or take a day: its UUIDv7 tells, and so spares a look into every month.
 * Half-open; null for an id that is no UUIDv7, and so no event's.
 */
export function writtenBetween(id: string): { from: Date; to: Date } | null {
  if (id[VERSION_AT] !== '7') return null;
  const at = Number.parseInt(id.replaceAll('-', '').slice(0, 12), 16);
  return { from: new Date(at - SKEW_MS), to: new Date(at + SKEW_MS) };
}
