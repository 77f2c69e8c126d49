import { type NodeKey, type NodeState, nodeState, nodeStateKey } from './node-state.js';
import type { ClusterLook } from './node-states.repository.js';

/** What is remembered of a node. */
interface Remembered {
  /** Its state, by `nodeStateKey` among others; absent for what is no member. */
  loading: Promise<ReadonlyMap<string, NodeState>>;
  /** null while it is being loaded, and for what is no member. */
  loaded: NodeState | null;
  /** Which state of the cluster it is of. */
  version: number;
}

/**
 * The states of a cluster's nodes. A change of the whole cluster makes all of them stale at once; what is the nodes' own
 * in them counts on, and with one look at what the cluster shares they are whole again.
 *
 * That look names the nodes of which something was committed that the feed has not told yet. Their parts would be of
 * two instants, and one number could name two contents: these are loaded anew. For the same reason a part counts only
 * if it was there before the look began.
 */
export class ClusterStates {
  private readonly nodes = new Map<string, Remembered>();
  private version = 0;
  private looking: { version: number; look: Promise<ClusterLook | null> } | null = null;

  /** The node's state where it is known and of the cluster's present state. */
  known(nodeId: string): NodeState | null {
    const remembered = this.nodes.get(nodeId);
    return remembered?.version === this.version ? remembered.loaded : null;
  }

  /** Forgets the node. */
  forget(nodeId: string): void {
    this.nodes.delete(nodeId);
  }

  /** Makes all of them stale. Those that are being loaded just now may be of either state, and do not count at all. */
  changed(): void {
    this.version += 1;
  }

  /** Whether its own part counts on. */
  isStale(nodeId: string): boolean {
    const remembered = this.nodes.get(nodeId);
    return remembered !== undefined && remembered.loaded !== null && remembered.version < this.version;
  }

  /** What the node is being loaded with, or was; null: nothing that counts. */
  loading(nodeId: string): Promise<ReadonlyMap<string, NodeState>> | null {
    const remembered = this.nodes.get(nodeId);
    return remembered?.version === this.version ? remembered.loading : null;
  }

  /** Remembers nodes that are being loaded: a change that comes meanwhile forgets them, and whoever asks then loads anew. */
  remember(nodes: readonly NodeKey[], loading: Promise<ReadonlyMap<string, NodeState>>): void {
    const { version } = this;
    const entries = nodes.map((node) => {
      const remembered: Remembered = { loading, loaded: null, version };
      this.nodes.set(node.nodeId, remembered);
      return { node, remembered };
    });
    const forget = ({ node: { nodeId }, remembered }: (typeof entries)[number]) => {
      if (this.nodes.get(nodeId) === remembered) this.nodes.delete(nodeId);
    };
    loading.then(
      (loaded) => {
        if (version !== this.version) return entries.forEach(forget);
        for (const { node, remembered } of entries)
          remembered.loaded = loaded.get(nodeStateKey(node)) ?? null;
      },
      () => entries.forEach(forget),
    );
  }

  /**
   * The states of those of these nodes that are stale, whole again, by key.
   * @param look at what the cluster shares; one for all who ask under the same state of it
   */
  async renew(
    nodes: readonly NodeKey[],
    look: () => Promise<ClusterLook | null>,
  ): Promise<Map<string, NodeState>> {
    if (this.looking?.version !== this.version) this.looking = this.begin(look);
    const { version, look: looking } = this.looking;
    const found = await looking;
    const renewed = new Map<string, NodeState>();
    if (found === null) return renewed;
    for (const node of nodes) {
      const state = this.known(node.nodeId) ?? this.renewed(node.nodeId, version, found);
      if (state !== null) renewed.set(nodeStateKey(node), state);
    }
    return renewed;
  }

  private begin(look: () => Promise<ClusterLook | null>): NonNullable<ClusterStates['looking']> {
    const { version } = this;
    const looking = look().then((found) => {
      for (const nodeId of found?.unheardNodeIds ?? []) {
        if ((this.nodes.get(nodeId)?.version ?? version) < version) this.nodes.delete(nodeId);
      }
      return found;
    });
    const begun = { version, look: looking };
    looking.then(
      (found) => found === null && this.end(begun),
      () => this.end(begun),
    );
    return begun;
  }

  /** One that has found nothing is not asked again. */
  private end(begun: ClusterStates['looking']): void {
    if (this.looking === begun) this.looking = null;
  }

  private renewed(nodeId: string, version: number, { cluster }: ClusterLook): NodeState | null {
    const remembered = this.nodes.get(nodeId);
    if (remembered === undefined || remembered.loaded === null || remembered.version >= version) return null;
    const state = nodeState(remembered.loaded, cluster);
    if (version === this.version) {
      remembered.loaded = state;
      remembered.version = version;
    }
    return state;
  }
}
