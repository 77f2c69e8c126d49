import { createHash } from 'node:crypto';
import { isUuid } from '../ids/uuid.js';
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
  changes: PlannedChanges;
}

/** Changes that a plan shows; `affectedNodes` counts all. */
const SHOWN_CHANGES = 100;
const UUID = /[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}/g;

/** Takes the changes of a call as they are found, and keeps of each what hash and answer need. */
export class PlannedChanges {
  /** What each new id is called. */
  private readonly names: ReadonlyMap<string, string>;
  /** Those among them that are no UUIDs, such as the thumbprint of a new key: a few at the most. */
  private readonly others: readonly string[];
  private readonly hashes: (readonly [string, string | null, string | null])[] = [];
  private first: SnapshotChange[] = [];

  /** @param newIds made by the call, in order; another run makes others, and the hash must not depend on them */
  constructor(newIds: readonly string[]) {
    this.names = new Map(newIds.map((id, index) => [id, `new:${index + 1}`]));
    this.others = newIds.filter((id) => !isUuid(id));
  }

  get affectedNodes(): number {
    return this.hashes.length;
  }

  /** The first by node id. */
  get shown(): readonly SnapshotChange[] {
    return this.first;
  }

  add(changes: readonly SnapshotChange[]): void {
    for (const { nodeId, before, after } of changes) {
      // Renamed before they are sorted: where a new id lies among the others is a matter of clocks.
      this.hashes.push([this.renamed(nodeId), this.contentHash(before), this.contentHash(after)]);
    }
    this.first = [...this.first, ...changes].sort(byNodeId).slice(0, SHOWN_CHANGES);
  }

  /** SHA-256 in base64url over the call and the content of every node that it changes, before and after. */
  hash(call: Omit<PlannedCall, 'changes'>): string {
    const nodes = [...this.hashes].sort(([left], [right]) => (left < right ? -1 : 1));
    const { operationId, path, body } = call;
    return sha256(this.renamed(canonicalJson({ operationId, path, body: body ?? null, nodes })));
  }

  private contentHash(content: unknown): string | null {
    return content === null ? null : sha256(this.renamed(canonicalJson(content)));
  }

  /** UUIDs in one pass, since a bulk call makes thousands of them. */
  private renamed(text: string): string {
    if (this.names.size === 0) return text;
    const name = (id: string) => this.names.get(id) ?? id;
    return this.others.reduce((each, id) => each.replaceAll(id, name(id)), text.replace(UUID, name));
  }
}

export function planHash({ changes, ...call }: PlannedCall): string {
  return changes.hash(call);
}

/** The answer of a dry run. */
export function planAnswer(call: PlannedCall, result: unknown): PlanAnswer {
  const { affectedNodes, shown } = call.changes;
  return {
    dryRun: true,
    result,
    affectedNodes,
    changes: shown.map(({ clusterId, nodeId, before, after }) => ({
      clusterId,
      nodeId,
      before,
      after,
      patch: jsonDiff(before ?? {}, after ?? {}),
    })),
    changesTruncated: affectedNodes > shown.length,
    planHash: planHash(call),
  };
}

function byNodeId(left: SnapshotChange, right: SnapshotChange): number {
  if (left.nodeId === right.nodeId) return left.clusterId < right.clusterId ? -1 : 1;
  return left.nodeId < right.nodeId ? -1 : 1;
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('base64url');
}
