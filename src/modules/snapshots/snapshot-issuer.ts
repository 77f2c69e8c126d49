import { Injectable, type OnModuleInit } from '@nestjs/common';
import { Batches } from '../../common/batching/batches.js';
import { ChangeReader } from '../../common/changes/change-reader.js';
import { signCompact } from '../../common/crypto/sign-compact.js';
import { notFound } from '../../common/errors/domain-error.js';
import { Transactor } from '../../common/transaction/transactor.js';
import { ClusterKeys } from '../clusters/cluster-keys.js';
import { GenerationKeeper } from './generation-keeper.js';
import { payloadOf, type Rendered, type SnapshotPayload, SnapshotRenderer } from './snapshot-renderer.js';

/** A snapshot as a node gets it. */
export interface SignedSnapshot {
  jws: string;
  generation: number;
  /** `"<term>.<generation>.<issue>"`: the same on every instance, unchanged by a new token. */
  etag: string;
}

/** A node that wants its snapshot. */
export interface Wanted {
  clusterId: string;
  nodeId: string;
  /** When it asked; the issue is the one of this instant or a later one. */
  asOf: Date;
}

/** Signed snapshots remembered by node; the next issue or generation replaces the last. */
const REMEMBERED = 20_000;
/** Nodes that a change wakes together are served together: a handful of queries, one commit. */
const BATCHING = { gatherMs: 2, size: 200, maxWrites: 4, maxWaiting: 50_000 };

/** Signs snapshots and keeps what it gives out. */
@Injectable()
export class SnapshotIssuer implements OnModuleInit {
  /** By node; each has been kept. */
  private readonly signed = new Map<string, SignedSnapshot>();
  private readonly batches = new Batches<Wanted, SignedSnapshot>({
    ...BATCHING,
    keyOf,
    write: (wanted) => this.issue(wanted),
  });

  constructor(
    private readonly transactor: Transactor,
    private readonly renderer: SnapshotRenderer,
    private readonly keeper: GenerationKeeper,
    private readonly keys: ClusterKeys,
    private readonly changes: ChangeReader,
  ) {}

  onModuleInit(): void {
    // Perhaps another database, or an older copy of this one, which keeps nothing of what is remembered here.
    this.changes.onGap(() => this.signed.clear());
  }

  /** The node's current snapshot as data. @throws not_found for a node that is no member, or a revoked one */
  async read(clusterId: string, nodeId: string): Promise<SnapshotPayload> {
    const rendered = await this.transactor.read((tx) => this.renderer.render(tx, clusterId, [nodeId]));
    const found = rendered.get(nodeId);
    if (found === undefined) throw notFound('not_found', 'The node has no snapshot.');
    return payloadOf(found);
  }

  /**
   * The node's current snapshot, signed and kept; null for a node that is no member, or a revoked one.
   * @param expected its ETag, by which a remembered one is known
   */
  sign(wanted: Wanted, expected: string): Promise<SignedSnapshot | null> {
    const remembered = this.signed.get(keyOf(wanted));
    if (remembered?.etag === expected) return Promise.resolve(remembered);
    return this.batches.add(wanted);
  }

  /** Renders, signs and keeps a batch. What is kept before it is given out can be read back whatever happens then. */
  private async issue(wanted: readonly Wanted[]): Promise<Map<string, SignedSnapshot>> {
    const rendered = await this.render(wanted);
    const [signed] = await Promise.all([
      Promise.all([...rendered].map(async ([key, each]) => [key, await this.signOne(each)] as const)),
      this.keeper.keep([...rendered.values()]),
    ]);
    if (this.signed.size + signed.length > REMEMBERED) this.signed.clear();
    for (const [key, snapshot] of signed) this.signed.set(key, snapshot);
    return new Map(signed);
  }

  private async render(wanted: readonly Wanted[]): Promise<Map<string, Rendered>> {
    const rendered = new Map<string, Rendered>();
    for (const clusterId of new Set(wanted.map((each) => each.clusterId))) {
      const nodes = new Map(
        wanted.filter((each) => each.clusterId === clusterId).map(({ nodeId, asOf }) => [nodeId, asOf]),
      );
      const asOf = (nodeId: string) => nodes.get(nodeId) ?? new Date(0);
      const found = await this.transactor.read((tx) =>
        this.renderer.render(tx, clusterId, [...nodes.keys()], asOf),
      );
      for (const [nodeId, each] of found) rendered.set(keyOf({ clusterId, nodeId }), each);
    }
    return rendered;
  }

  private async signOne(rendered: Rendered): Promise<SignedSnapshot> {
    const { content, generation, issue, signingKid: kid } = rendered;
    const privateKey = await this.keys.privateKey(content.clusterId, kid);
    const header = { typ: 'rap-snapshot+jws', kid };
    const jws = await signCompact(privateKey, header, JSON.stringify(payloadOf(rendered)));
    return { jws, generation, etag: snapshotEtag(content.authorityTerm, generation, issue) };
  }
}

/** The ETag of a snapshot, quotes included. */
export function snapshotEtag(term: number, generation: number, issue: number): string {
  return `"${term}.${generation}.${issue}"`;
}

function keyOf({ clusterId, nodeId }: Pick<Wanted, 'clusterId' | 'nodeId'>): string {
  return `${clusterId}/${nodeId}`;
}
