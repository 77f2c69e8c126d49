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

const UUID = /[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}/g;

/** SHA-256 in base64url over the call and the content of every node that it changes, before and after. */
export function planHash({ operationId, path, body, newIds, changes }: PlannedCall): string {
  const renamed = renaming(newIds);
  const nodes = changes
    .map((change) => [
      // Before they are sorted: where a new id lies among the others is a matter of clocks.
      renamed(change.nodeId),
      contentHash(change.before, renamed),
      contentHash(change.after, renamed),
    ])
    .sort(([left], [right]) => (String(left) < String(right) ? -1 : 1));
  const plan = { operationId, path, body: body ?? null, nodes };
  return sha256(renamed(canonicalJson(plan)));
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

function contentHash(content: unknown, renamed: (text: string) => string): string | null {
  return content === null ? null : sha256(renamed(canonicalJson(content)));
}

/** Calls each new id `new:1` and so on, in one pass: a bulk call makes thousands of them. */
function renaming(newIds: readonly string[]): (text: string) => string {
  if (newIds.length === 0) return (text) => text;
  const names = new Map(newIds.map((id, index) => [id, `new:${index + 1}`]));
  return (text) => text.replace(UUID, (id) => names.get(id) ?? id);
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('base64url');
}
