import { Injectable, type OnModuleInit } from '@nestjs/common';
import { Batches } from '../../common/batching/batches.js';
import { ChangeReader } from '../../common/changes/change-reader.js';
import { ManySignatures } from '../../common/crypto/many-signatures.js';
import { notFound } from '../../common/errors/domain-error.js';
import { Transactor } from '../../common/transaction/transactor.js';
import { ClusterKeys } from '../clusters/cluster-keys.js';
import { nodeStateKey } from '../nodes/node-state.js';
import { GenerationKeeper } from './generation-keeper.js';
import { snapshotEtag } from './issue.js';
import { payloadJson, type UnsignedSnapshot } from './snapshot-parts.js';
import { SnapshotPreparer, type Wanted } from './snapshot-preparer.js';
import { payloadOf, type SnapshotPayload, SnapshotRenderer } from './snapshot-renderer.js';

/** A snapshot as a node gets it. */
export interface SignedSnapshot {
  jws: string;
  generation: number;
  /** `"<term>.<generation>.<issue>"`: the same on every instance, unchanged by a new token. */
  etag: string;
}

/** Signed snapshots remembered by node; the next issue or generation replaces the last. */
const REMEMBERED = 20_000;
/** Nodes that a change wakes together are served together: a handful of queries, one commit. */
const BATCHING = { gatherMs: 1, size: 200, maxWrites: 4, maxWaiting: 50_000 };

/** Signs snapshots and keeps what it gives out. */
@Injectable()
export class SnapshotIssuer implements OnModuleInit {
  /** By node; each has been kept. */
  private readonly signed = new Map<string, SignedSnapshot>();
  private readonly batches = new Batches<Wanted, SignedSnapshot>({
    ...BATCHING,
    keyOf: nodeStateKey,
    write: (wanted) => this.issueAndRemember(wanted),
  });

  constructor(
    private readonly transactor: Transactor,
    private readonly renderer: SnapshotRenderer,
    private readonly preparer: SnapshotPreparer,
    private readonly keeper: GenerationKeeper,
    private readonly keys: ClusterKeys,
    private readonly signatures: ManySignatures,
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
    const remembered = this.signed.get(nodeStateKey(wanted));
    if (remembered?.etag === expected) return Promise.resolve(remembered);
    return this.batches.add(wanted);
  }

  /**
   * The current snapshots of many nodes, signed and kept, by `nodeStateKey`; one that has none is absent. They are not
   * remembered: each goes to a node that waits for it, and thousands of them would only be carried along by the collector.
   */
  async signTogether(wanted: readonly Wanted[]): Promise<ReadonlyMap<string, SignedSnapshot>> {
    return wanted.length === 0 ? new Map() : await this.issue(wanted);
  }

  /** Signs and keeps a batch. What is kept before it is given out can be read back whatever happens then. */
  private async issue(wanted: readonly Wanted[]): Promise<Map<string, SignedSnapshot>> {
    const unsigned = await this.prepare(wanted);
    // Begun first: the database keeps while this process signs.
    const keeping = this.keeper.keep(unsigned);
    const [signed] = await Promise.all([this.signAll(unsigned), keeping]);
    return signed;
  }

  private async issueAndRemember(wanted: readonly Wanted[]): Promise<Map<string, SignedSnapshot>> {
    const signed = await this.issue(wanted);
    if (this.signed.size + signed.size > REMEMBERED) this.signed.clear();
    for (const [key, snapshot] of signed) this.signed.set(key, snapshot);
    return signed;
  }

  private async prepare(wanted: readonly Wanted[]): Promise<UnsignedSnapshot[]> {
    const prepared = await Promise.all(
      [...new Set(wanted.map(({ clusterId }) => clusterId))].map((clusterId) =>
        this.preparer.prepare(
          clusterId,
          wanted.filter((each) => each.clusterId === clusterId),
        ),
      ),
    );
    return prepared.flatMap((found) => [...found.values()]);
  }

  private async signAll(unsigned: readonly UnsignedSnapshot[]): Promise<Map<string, SignedSnapshot>> {
    const signed = new Map<string, SignedSnapshot>();
    for (const group of byKey(unsigned)) {
      const { clusterId, shared } = group[0];
      const kid = shared.signingKid;
      const key = await this.keys.privateKey(clusterId, kid);
      const all = await this.signatures.sign(key, { typ: 'rap-snapshot+jws', kid }, group.map(payloadJson));
      for (const [at, each] of group.entries()) {
        const jws = all[at];
        if (jws === undefined) throw new Error('a snapshot was not signed');
        const { generation, issue } = each;
        const etag = snapshotEtag(each.shared.content.authorityTerm, generation, issue);
        signed.set(nodeStateKey(each), { jws, generation, etag });
      }
    }
    return signed;
  }
}

/** Those that one key signs together. */
function byKey(unsigned: readonly UnsignedSnapshot[]): Iterable<[UnsignedSnapshot, ...UnsignedSnapshot[]]> {
  const groups = new Map<string, [UnsignedSnapshot, ...UnsignedSnapshot[]]>();
  for (const each of unsigned) {
    const name = `${each.clusterId}/${each.shared.signingKid}`;
    const group = groups.get(name);
    if (group === undefined) groups.set(name, [each]);
    else group.push(each);
  }
  return groups.values();
}
