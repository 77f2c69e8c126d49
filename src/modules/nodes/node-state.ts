/** A node among others of all clusters. */
export interface NodeKey {
  clusterId: string;
  nodeId: string;
}

/** What of a node's state is its own: it changes with a row of the feed that names the node. */
export interface OwnState {
  membershipStatus: 'active' | 'disabled' | 'revoked';
  /** Keys that were revoked; hardly a node has any. */
  revokedIdentityIds: readonly string[];
  /** The node's own part of its generation. */
  generationCounter: number;
  /** When that last grew. */
  counterChangedAt: Date;
}

/** What of their states the nodes of a cluster share. */
export interface ClusterState {
  /** The cluster's part of generations. */
  generationBase: number;
  /** When that last grew. */
  baseChangedAt: Date;
  /** With the counter, tells the node's own content: see `PartMemory`. */
  nodeContentBase: number;
  authorityTerm: number;
  snapshotLifetimeSeconds: number;
}

/** What every call of a node depends on: both parts, as they were at one instant. */
export interface NodeState extends OwnState, ClusterState {
  generation: number;
  /** When the generation last grew. */
  generationChangedAt: Date;
}

/** The state of a node whose parts are of one instant: of two, one number could name two contents. */
export function nodeState(own: OwnState, cluster: ClusterState): NodeState {
  const { membershipStatus, revokedIdentityIds, generationCounter, counterChangedAt } = own;
  const { generationBase, baseChangedAt, nodeContentBase, authorityTerm, snapshotLifetimeSeconds } = cluster;
  return {
    membershipStatus,
    revokedIdentityIds,
    generationCounter,
    counterChangedAt,
    generationBase,
    baseChangedAt,
    nodeContentBase,
    authorityTerm,
    snapshotLifetimeSeconds,
    generation: generationBase + generationCounter,
    generationChangedAt:
      counterChangedAt.getTime() < baseChangedAt.getTime() ? baseChangedAt : counterChangedAt,
  };
}

/** Whether what was got with this key counts: the membership lives, and nobody has revoked the key. */
export function letsIn(state: NodeState | null, identityId: string): state is NodeState {
  return (
    state !== null && state.membershipStatus !== 'revoked' && !state.revokedIdentityIds.includes(identityId)
  );
}

/** Names a node of a cluster among others. */
export function nodeStateKey({ clusterId, nodeId }: NodeKey): string {
  return `${clusterId}/${nodeId}`;
}
