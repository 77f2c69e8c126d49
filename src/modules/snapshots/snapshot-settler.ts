import { isDeepStrictEqual } from 'node:util';
import { Injectable } from '@nestjs/common';
import { Database } from '../../common/database/database.js';
import { openSessionBeside } from '../../common/database/session.js';
import { OpenTransaction } from '../../common/transaction/open-transaction.js';
import type { SnapshotChange, SnapshotPort, Touched, TouchFinder } from '../../common/transaction/ports.js';
import type { ReadTx, Tx } from '../../common/transaction/tx.js';
import { MembershipsReadModel } from '../nodes/memberships.read-model.js';
import { NodeStates } from '../nodes/node-states.js';
import { GenerationsRepository, type HashedNode } from './generations.repository.js';
import { KnownParts } from './known-parts.js';
import { type Composed, SnapshotComposer } from './snapshot-composer.js';
import { contentHash, type SnapshotContent } from './snapshot-content.js';
import { OwnPart } from './snapshot-parts.js';

/** Nodes compared at a time: enough to make statements few, few enough to keep nobody from the event loop. */
const BATCH = 250;

/**
 * Numbers snapshots. A change of single nodes grows exactly those whose content differs from what is committed; a
 * change of the whole cluster raises its base, one row, whatever it changes.
 *
 * The row that numbers a node is locked first, so that two transactions that change one node settle one after the other,
 * and the later one sees what the earlier one did. Changes of the whole cluster, and those of which it shows only now
 * whom they concern, settle while no change of a node is between its settling and its commit.
 *
 * Numbering has locks of its own, taken last and by every transaction in the same order; who holds one waits for no other
 * lock of the service, so that no circle goes through them.
 */
@Injectable()
export class SnapshotSettler implements SnapshotPort {
  constructor(
    private readonly composer: SnapshotComposer,
    private readonly memberships: MembershipsReadModel,
    private readonly generations: GenerationsRepository,
    private readonly states: NodeStates,
    private readonly known: KnownParts,
    private readonly database: Database,
  ) {}

  async settle(tx: Tx, touched: Touched, finders: readonly TouchFinder[]): Promise<void> {
    const clusters = inOrder(touched);
    const growing = clusters.map(([clusterId, nodes]) =>
      typeof nodes === 'string' ? this.generations.growAll(tx, clusterId, nodes) : null,
    );
    if (finders.length === 0) {
      // In this order, though sent at once: what is composed is read under all of the locks.
      const holding = clusters.map(([clusterId, nodes]) =>
        this.generations.holdCluster(tx, clusterId, typeof nodes === 'string' ? 'alone' : 'shared'),
      );
      await Promise.all([...growing, ...holding, ...this.number(tx, clusters)]);
    } else {
      await Promise.all(growing);
      await Promise.all(this.number(tx, await this.find(tx, touched, finders)));
    }
    // The feed tells every instance in a moment; this one must not answer the next call from before.
    tx.afterCommit(() => this.states.forget(touched));
  }

  /** Holds the clusters and finds whose snapshots change in them. Touches these nodes, and returns all that are to be
   *  numbered one by one. */
  private async find(tx: Tx, touched: Touched, finders: readonly TouchFinder[]): Promise<ClusterNodes[]> {
    const asked = new Map<string, TouchFinder[]>();
    for (const finder of finders) {
      await finder.hold(tx);
      for (const clusterId of await finder.clusters(tx))
        asked.set(clusterId, [...(asked.get(clusterId) ?? []), finder]);
    }
    const before = new Map(touched);
    const clusterIds = [...new Set([...before.keys(), ...asked.keys()])].sort();
    for (const clusterId of clusterIds) {
      const isAlone = asked.has(clusterId) || typeof before.get(clusterId) === 'string';
      await this.generations.holdCluster(tx, clusterId, isAlone ? 'alone' : 'shared');
    }
    const numbered: ClusterNodes[] = [];
    for (const clusterId of clusterIds) {
      const known = before.get(clusterId) ?? new Set<string>();
      const found: string[] = [];
      for (const finder of asked.get(clusterId) ?? []) found.push(...(await finder.nodes(tx, clusterId)));
      if (found.length > 0) tx.touch(clusterId, found);
      // With everything of the cluster they have their numbers; with what all share they have not.
      if (known === 'all') continue;
      numbered.push([clusterId, [...new Set([...(known === 'shared' ? [] : known), ...found])].sort()]);
    }
    return numbered;
  }

  /** Numbers nodes of clusters that are held. */
  private number(tx: Tx, clusters: readonly ClusterNodes[]): Promise<void>[] {
    return clusters.flatMap(([clusterId, nodes]) =>
      typeof nodes === 'string' || nodes.length === 0
        ? []
        : [this.generations.lock(tx, clusterId, nodes), this.growDiffering(tx, clusterId, nodes)],
    );
  }

  async *changes(tx: ReadTx, touched: Touched): AsyncGenerator<SnapshotChange[]> {
    if (touched.size === 0) return;
    const session = await openSessionBeside(this.database);
    try {
      const committed: ReadTx = { now: await OpenTransaction.begin(session), query: session.query };
      for (const [clusterId, nodes] of inOrder(touched)) {
        const nodeIds = typeof nodes === 'string' ? await this.everyNode(committed, tx, clusterId) : nodes;
        for (let from = 0; from < nodeIds.length; from += BATCH) {
          yield await this.changesOf(committed, tx, clusterId, nodeIds.slice(from, from + BATCH));
        }
      }
    } finally {
      await session.rollback();
    }
  }

  private async changesOf(
    committed: ReadTx,
    tx: ReadTx,
    clusterId: string,
    nodeIds: readonly string[],
  ): Promise<SnapshotChange[]> {
    const old = await this.contents(committed, clusterId, nodeIds);
    const next = await this.contents(tx, clusterId, nodeIds);
    return nodeIds.flatMap((nodeId) => {
      const [before, after] = [old.get(nodeId) ?? null, next.get(nodeId) ?? null];
      return isDeepStrictEqual(before, after) ? [] : [{ clusterId, nodeId, before, after }];
    });
  }

  private async everyNode(committed: ReadTx, tx: ReadTx, clusterId: string): Promise<string[]> {
    const [old, next] = [
      await this.memberships.nodeIds(committed, clusterId),
      await this.memberships.nodeIds(tx, clusterId),
    ];
    return [...new Set([...old, ...next])].sort();
  }

  private async growDiffering(tx: Tx, clusterId: string, nodeIds: readonly string[]): Promise<void> {
    const [{ base, nodeContentBase }, composed] = await Promise.all([
      this.generations.base(tx, clusterId),
      this.composer.compose(tx, clusterId, nodeIds),
    ]);
    // One that was never numbered has nothing to be compared with.
    const isOutdated = ({ member }: Composed) =>
      member.contentHash !== null && (member.contentBase ?? -1) < nodeContentBase;
    const before = await this.committedHashes(tx, clusterId, composed.filter(isOutdated));
    const grown: HashedNode[] = [];
    const same: HashedNode[] = [];
    const parts: (() => void)[] = [];
    const memory = this.known.current();
    for (const each of composed) {
      if (each.content === null) continue;
      const { nodeId, contentHash: known, generationCounter } = each.member;
      const hash = contentHash(each.content);
      const previous = isOutdated(each) ? before.get(nodeId) : known;
      if (previous?.equals(hash) !== true) {
        grown.push({ nodeId, contentHash: hash });
        if (memory.isServed(clusterId, nodeId)) {
          const own = OwnPart.of(each.content);
          const version = { generationCounter: generationCounter + 1, nodeContentBase };
          parts.push(() => memory.rememberOwn(clusterId, nodeId, version, own));
        }
      } else if (isOutdated(each)) same.push({ nodeId, contentHash: hash });
    }
    if (grown.length > 0) this.generations.grow(tx, clusterId, base, grown);
    if (same.length > 0) this.generations.remember(tx, clusterId, base, same);
    // The rows are locked, so that this is what is committed under that number; its poll need not read it again.
    tx.afterCommit(() => {
      for (const remember of parts) remember();
    });
  }

  /** Hashes of the content as it is committed, of nodes whose remembered hash is from before a change of the cluster. */
  private async committedHashes(
    tx: ReadTx,
    clusterId: string,
    nodes: readonly Composed[],
  ): Promise<Map<string, Buffer>> {
    if (nodes.length === 0) return new Map();
    const nodeIds = nodes.map(({ member }) => member.nodeId);
    const composed = await this.lookBeside(tx, (committed) =>
      this.composer.compose(committed, clusterId, nodeIds),
    );
    return new Map(
      composed.flatMap(({ member, content }) =>
        content === null ? [] : [[member.nodeId, contentHash(content)] as const],
      ),
    );
  }

  /** Looks at what is committed, from within a transaction that has changed it. */
  private async lookBeside<T>(tx: ReadTx, look: (committed: ReadTx) => Promise<T>): Promise<T> {
    const session = await openSessionBeside(this.database);
    try {
      return await look({ now: tx.now, query: (statement) => session.query(statement) });
    } finally {
      await session.rollback();
    }
  }

  private async contents(
    tx: ReadTx,
    clusterId: string,
    nodeIds: readonly string[],
  ): Promise<Map<string, SnapshotContent>> {
    const composed = await this.composer.compose(tx, clusterId, nodeIds);
    if (composed.length === 0) return new Map();
    const { content: shared } = await this.composer.cluster(tx, clusterId);
    return new Map(
      composed.flatMap(({ member, content }) =>
        content === null ? [] : [[member.nodeId, { ...content, ...shared }] as const],
      ),
    );
  }
}

/** Nodes of a cluster, in the order of their ids; or all of them, by its own row. */
type ClusterNodes = readonly [clusterId: string, nodes: readonly string[] | 'all' | 'shared'];

/** Clusters in the order of their ids, and nodes likewise: the same for every transaction. */
function inOrder(touched: Touched): ClusterNodes[] {
  return [...touched]
    .map(
      ([clusterId, nodes]): ClusterNodes => [
        clusterId,
        typeof nodes === 'string' ? nodes : [...nodes].sort(),
      ],
    )
    .sort(([left], [right]) => (left < right ? -1 : 1));
}
