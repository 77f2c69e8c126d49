import type { AuditEvent } from '../../common/audit/audit-event.js';

/** What a member with the role `update-cache` says of the cache that it runs. */
export interface UpdateCache {
  clusterId: string;
  nodeId: string;
  /** Where it serves; null: nowhere. */
  url: string | null;
  /** Digests in hexadecimal, as reported; shown to operators, and nothing is decided by it. */
  held: string[];
  usedBytes: number;
  capacityBytes: number;
  /** Files that it has sent to other nodes since its agent started. */
  servedFiles: number;
  reportedAt: Date;
}

/** Digests that a cache may report; as many as it may be told to mirror. */
export const MAX_FILES = 500;

interface Place {
  url: string | null;
}

declare module '../../common/audit/audit-event.js' {
  interface AuditActions {
    'update_cache.moved': { before: Place; after: Place };
  }
}

/** A cache serves elsewhere than before, or no more. */
export function cacheMoved(
  { clusterId, nodeId }: Pick<UpdateCache, 'clusterId' | 'nodeId'>,
  before: string | null,
  after: string | null,
): AuditEvent {
  return {
    action: 'update_cache.moved',
    resource: { type: 'update_cache', id: nodeId, name: null },
    clusterId,
    outcome: 'success',
    reason: null,
    before: { url: before },
    after: { url: after },
  };
}
