import type { RequestContext } from '../request/request-context.js';
import type { ReadTx, Tx } from './tx.js';

/** Whose snapshots a transaction may have changed: by cluster, the nodes, or all of them; `shared` where it is only what
 *  all of them have in common. */
export type Touched = ReadonlyMap<string, TouchedNodes>;
export type TouchedNodes = ReadonlySet<string> | 'all' | 'shared';

/**
 * Finds whose snapshots a transaction changes, where that depends on what others do at the same time. It is asked last of
 * all, when nobody else in these clusters is between numbering and the commit: whoever makes a node one that is concerned
 * has committed, and is seen, or numbers afterwards, and sees the change.
 */
export interface TouchFinder {
  /** Keeps as it is, until the transaction ends, what it depends on which clusters these are. */
  hold(tx: Tx): Promise<void>;
  clusters(tx: Tx): Promise<readonly string[]>;
  nodes(tx: Tx, clusterId: string): Promise<readonly string[]>;
}

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
   * whole cluster where all are touched; writes the feed rows. Last before the commit. Touches whom `finders` find.
   */
  settle(tx: Tx, touched: Touched, finders: readonly TouchFinder[]): Promise<void>;
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
