import { createHash } from 'node:crypto';
import { canonicalJson } from '../json/canonical-json.js';
import { jsonDiff, type Operation as PatchOperation } from '../json/json-diff.js';
import type { SnapshotChange } from '../transaction/ports.js';

/** What a dry run answers. */
export interface PlanAnswer {
  dryRun: true;
  /** What the call would answer, once-only secrets left out. */
  result: unknown;
  affectedNodes: number;
  changes: PlannedChange[];
  changesTruncated: boolean;
  planHash: string;
}

/** The change to one node's snapshot content. */
export interface PlannedChange {
  clusterId: string;
  nodeId: string;
  before: unknown;
  after: unknown;
  patch: PatchOperation[];
}

/** What is planned: the call, and what it would do. */
export interface PlannedCall {
  operationId: string;
  path: string;
  body: unknown;
  /** Ids that the call makes, in order; another run makes others, and the hash must not depend on them. */
  newIds: readonly string[];
  changes: readonly SnapshotChange[];
}

/** Changes that a plan shows; `affectedNodes` counts all. */
const SHOWN_CHANGES = 100;

/** SHA-256 in base64url over the call and the content of every node that it changes, before and after. */
export function planHash({ operationId, path, body, newIds, changes }: PlannedCall): string {
  const nodes = changes
    .map((change) => [
      // Before they are sorted: where a new id lies among the others is a matter of clocks.
      withoutNewIds(change.nodeId, newIds),
      contentHash(change.before, newIds),
      contentHash(change.after, newIds),
    ])
    .sort(([left], [right]) => (String(left) < String(right) ? -1 : 1));
  const plan = { operationId, path, body: body ?? null, nodes };
  return createHash('sha256')
    .update(withoutNewIds(canonicalJson(plan), newIds))
    .digest('base64url');
}

/** The answer of a dry run. */
export function planAnswer(call: PlannedCall, result: unknown): PlanAnswer {
  const sorted = [...call.changes].sort((left, right) => (left.nodeId < right.nodeId ? -1 : 1));
  return {
    dryRun: true,
    result,
    affectedNodes: sorted.length,
    changes: sorted.slice(0, SHOWN_CHANGES).map((change) => ({
      clusterId: change.clusterId,
      nodeId: change.nodeId,
      before: change.before,
      after: change.after,
      patch: jsonDiff(change.before ?? {}, change.after ?? {}),
    })),
    changesTruncated: sorted.length > SHOWN_CHANGES,
    planHash: planHash(call),
  };
}

function contentHash(content: unknown, newIds: readonly string[]): string | null {
  if (content === null) return null;
  return createHash('sha256')
    .update(withoutNewIds(canonicalJson(content), newIds))
    .digest('base64url');
}

function withoutNewIds(text: string, newIds: readonly string[]): string {
  return newIds.reduce((each, id, index) => each.replaceAll(id, `new:${index + 1}`), text);
}
