import type { OrderedChange } from './feed-change.js';

/** Sent at once, so that a client knows that it is connected, with the milliseconds after which it should return. */
export const HELLO_FRAME = ': connected\nretry: 2000\n\n';

/** Sent while nothing happens, so that proxies keep the connection and clients notice its loss. */
export const ALIVE_FRAME = ': alive\n\n';

/** Why a client has to read anew what it shows. */
export type ResetReason = 'cursor_too_old' | 'cursor_unknown';

/** One change as the stream carries it. */
export function changeFrame(change: OrderedChange): string {
  const { position, kind, resourceType, resourceId, clusterId, revision, occurredAt } = change;
  const id = String(position);
  return frame(id, {
    id,
    kind,
    resourceType,
    resourceId: resourceId === '' ? null : resourceId,
    clusterId,
    revision,
    occurredAt: occurredAt.toISOString(),
  });
}

/** Tells that changes between the client's cursor and `position` cannot be told any more. */
export function resetFrame(position: number, reason: ResetReason): string {
  const id = String(position);
  return `event: reset\n${frame(id, { id, kind: 'reset', reason })}`;
}

// JSON has no raw line breaks, so that one data line always holds it.
function frame(id: string, data: object): string {
  return `id: ${id}\ndata: ${JSON.stringify(data)}\n\n`;
}
