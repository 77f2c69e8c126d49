import type { RequestContext } from '../request/request-context.js';
import type { ReadTx, Tx } from './tx.js';

/** Whose snapshots a transaction may have changed: by cluster, the nodes, or all of them; `shared` where it is only what
 *  all of them have in common. */
export type Touched = ReadonlyMap<string, TouchedNodes>;
export type TouchedNodes = ReadonlySet<string> | 'all' | 'shared';

/** How one node's snapshot content changes by a transaction. Content is the payload without generation and times. */
export interface SnapshotChange {
  clusterId: string;
  nodeId: string;
  /** null: the node had, or has, no snapshot. */
  before: unknown;
  after: unknown;
}

/** What composes and numbers snapshots; bound by the application to the snapshots module. */
export interface SnapshotPort {
  /**
   * Grows the generation of exactly those touched nodes whose content is now another, in node-id order, or of the
   * whole cluster where all are touched; writes the feed rows. Last before the commit.
   */
  settle(tx: Tx, touched: Touched): Promise<void>;
  /** The change to each touched node's content, seen from `tx` against what is committed; unchanged ones left out. In
   *  batches, since a cluster may not fit into memory, and so that others get their turn between them. */
  changes(tx: ReadTx, touched: Touched): AsyncIterable<readonly SnapshotChange[]>;
}

/** Injection token of the {@link SnapshotPort}. */
export const SNAPSHOT_PORT = Symbol('SnapshotPort');

/** Stands at the door of each transaction that a request opens; bound by the application to the authority module. */
export interface TransactionGate {
  /** @throws conflict `cluster_archived`, `cluster_not_authoritative` */
  enter(tx: Tx, request: RequestContext): Promise<void>;
}

/** Injection token of the {@link TransactionGate}. */
export const TRANSACTION_GATE = Symbol('TransactionGate');
