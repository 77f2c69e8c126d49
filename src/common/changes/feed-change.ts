/** One row of the change feed: that something changed, never what it is now; that is read where it lives. */
export interface FeedChange {
  /** Names the row; neither dense nor in the order of commits. */
  id: number;
  /** `<resource>.<what happened>`, such as `cluster.created`. */
  kind: string;
  resourceType: string;
  /** Empty where the change is about no single resource. */
  resourceId: string;
  /** null: it concerns the whole platform. */
  clusterId: string | null;
  /** Set where one node is concerned. */
  nodeId: string | null;
  /** Grows with the resource, where it is counted; the highest one wins. */
  revision: number | null;
  occurredAt: Date;
}

/** A change in its final place: positions are dense, and no row will ever come below one that has been given. */
export interface OrderedChange extends FeedChange {
  position: number;
}
