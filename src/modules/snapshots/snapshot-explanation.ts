import type { AuditEventView } from '../audit/audit.schema.js';
import type { ExplainedItem } from './snapshots.schema.js';

type Event = Pick<AuditEventView, 'id' | 'occurredAt' | 'actor' | 'action' | 'resource' | 'reason' | 'after'>;

/** An item with the latest event among the causes that modules named. */
export interface CausedItem {
  pointer: string;
  broughtBy: readonly string[];
  event: Event | null;
}

/**
 * The event behind each item, in the order of `members`. What roles bring is there since the later of its own event and
 * that of the first role that brings it and is still there.
 */
export function explain(items: readonly CausedItem[], members: readonly string[]): ExplainedItem[] {
  const own = new Map(items.map(({ pointer, event }) => [pointer, event]));
  const place = ({ pointer }: CausedItem) => members.indexOf(pointer.split('/')[1] ?? '');
  const inOrder = (one: CausedItem, other: CausedItem) =>
    place(one) - place(other) || one.pointer.localeCompare(other.pointer, 'en', { numeric: true });
  return [...items].sort(inOrder).map(({ pointer, broughtBy, event }) => {
    const roles = broughtBy.flatMap((role) => own.get(role) ?? []);
    return view(pointer, later(event, roles.reduce<Event | null>(earlier, null)));
  });
}

/** Whether `one` came before `other`; events of one transaction by their ids, in the order of their writing. */
function isBefore(one: Event, other: Event): boolean {
  return one.occurredAt === other.occurredAt ? one.id < other.id : one.occurredAt < other.occurredAt;
}

function earlier(one: Event | null, other: Event): Event | null {
  return one === null || isBefore(other, one) ? other : one;
}

function later(one: Event | null, other: Event | null): Event | null {
  if (one === null || other === null) return one ?? other;
  return isBefore(one, other) ? other : one;
}

function view(pointer: string, event: Event | null): ExplainedItem {
  if (event === null) return { pointer, auditEventId: null, actor: null, at: null, summary: null };
  const { id, occurredAt, actor } = event;
  const { type, displayName } = actor;
  return {
    pointer,
    auditEventId: id,
    actor: { type, id: actor.id, displayName },
    at: occurredAt,
    summary: summaryOf(event),
  };
}

/** `role assignment vpn-exit created`, `node edge-1 updated (telemetryEnabled): For the drill.` */
function summaryOf({ action, resource, after, reason }: Event): string {
  const verb = (action.split('.')[1] ?? action).replaceAll('_', ' ');
  const what = resource.type.replaceAll('_', ' ');
  const named = resource.name === null ? what : `${what} ${resource.name}`;
  const isUpdate = verb === 'updated' && typeof after === 'object' && after !== null;
  const members = isUpdate ? ` (${Object.keys(after).join(', ')})` : '';
  return `${named} ${verb}${members}${reason === null ? '' : `: ${reason}`}`;
}
