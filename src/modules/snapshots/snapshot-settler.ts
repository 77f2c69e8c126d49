import { Injectable } from '@nestjs/common';
import { Database } from '../../common/database/database.js';
import { openSessionBeside } from '../../common/database/session.js';
import { canonicalJson } from '../../common/json/canonical-json.js';
import type { SnapshotChange, SnapshotPort, Touched } from '../../common/transaction/ports.js';
import type { ReadTx, Tx } from '../../common/transaction/tx.js';
import { NodeStates } from '../nodes/node-states.js';
import { GenerationsRepository, type GrownNode } from './generations.repository.js';
import { type Composed, SnapshotComposer } from './snapshot-composer.js';
import { contentHash, type SnapshotContent } from './snapshot-content.js';

/**
 * Numbers snapshots: compares the content that a transaction leads to with the content that each touched node was last
 * numbered for, and grows exactly those that differ. The membership's row is locked first, so that two transactions
 * that change one node settle one after the other, and the later one sees what the earlier one did.
 */
@Injectable()
export class SnapshotSettler implements SnapshotPort {
  constructor(
    private readonly composer: SnapshotComposer,
    private readonly generations: GenerationsRepository,
    private readonly states: NodeStates,
    private readonly database: Database,
  ) {}

  async settle(tx: Tx, touched: Touched): Promise<void> {
    for (const [clusterId, nodes] of inOrder(touched)) {
      if (nodes === 'all') {
        await this.generations.growAll(tx, clusterId);
        const differing = differences(await this.composer.compose(tx, clusterId, 'all'));
        if (differing.length > 0) await this.generations.rehash(tx, clusterId, differing);
      } else {
        const nodeIds = [...nodes].sort();
        await this.generations.lock(tx, clusterId, nodeIds);
        const grown = differences(await this.composer.compose(tx, clusterId, nodeIds));
        if (grown.length > 0) await this.generations.grow(tx, clusterId, grown);
      }
    }
    // The feed tells every instance in a moment; this one must not answer the next call from before.
    tx.afterCommit(() => this.states.forget(touched));
  }

  async changes(tx: ReadTx, touched: Touched): Promise<SnapshotChange[]> {
    if (touched.size === 0) return [];
    const committed = await openSessionBeside(this.database);
    try {
      const before: ReadTx = { now: tx.now, query: (statement) => committed.query(statement) };
      const changes: SnapshotChange[] = [];
      for (const [clusterId, nodes] of inOrder(touched)) {
        const nodeIds = nodes === 'all' ? nodes : [...nodes].sort();
        const old = await this.contents(before, clusterId, nodeIds);
        const next = await this.contents(tx, clusterId, nodeIds);
        for (const nodeId of [...new Set([...old.keys(), ...next.keys()])].sort()) {
          const change = {
            clusterId,
            nodeId,
            before: old.get(nodeId) ?? null,
            after: next.get(nodeId) ?? null,
          };
          if (canonicalJson(change.before) !== canonicalJson(change.after)) changes.push(change);
        }
      }
      return changes;
    } finally {
      await committed.rollback();
    }
  }

  private async contents(
    tx: ReadTx,
    clusterId: string,
    nodeIds: readonly string[] | 'all',
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

/** Clusters in the order of their ids: the same for every transaction. */
function inOrder(touched: Touched): [string, ReadonlySet<string> | 'all'][] {
  return [...touched].sort(([left], [right]) => (left < right ? -1 : 1));
}

/** The live nodes whose content is not the one they were numbered for. */
function differences(composed: readonly Composed[]): GrownNode[] {
  return composed.flatMap(({ member, content }) => {
    if (content === null) return [];
    const { nodeId, contentHash: previousHash } = member;
    const hash = contentHash(content);
    return previousHash?.equals(hash) === true ? [] : [{ nodeId, contentHash: hash, previousHash }];
  });
}
