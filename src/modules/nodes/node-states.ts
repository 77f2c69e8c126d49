import { Injectable, type OnModuleInit } from '@nestjs/common';
import { Batches } from '../../common/batching/batches.js';
import { ChangeReader } from '../../common/changes/change-reader.js';
import type { Touched } from '../../common/transaction/ports.js';
import { ClusterStates } from './cluster-states.js';
import { type NodeKey, type NodeState, nodeStateKey } from './node-state.js';
import { type ClusterLook, NodeStatesRepository } from './node-states.repository.js';

/** Changes of a cluster that every node's state depends on. */
const CONCERNS_ALL = /^(snapshot|cluster_policy|authority)\./;

/** Nodes that ask one by one at the same time: a handful of queries, not one for each. */
const LOADING = { gatherMs: 1, size: 500, maxWrites: 4, maxWaiting: 100_000 };

/**
 * The state of nodes in memory, kept fresh by the change feed, so that an unchanged poll costs no query, and a change of
 * a whole cluster one for all of its nodes. An instance that has lost the feed asks the database each time until it has
 * caught up.
 */
@Injectable()
export class NodeStates implements OnModuleInit {
  private readonly clusters = new Map<string, ClusterStates>();
  private readonly loads = new Batches<NodeKey, NodeState>({
    ...LOADING,
    keyOf: nodeStateKey,
    write: (nodes) => this.repository.load(nodes),
  });

  constructor(
    private readonly repository: NodeStatesRepository,
    private readonly changes: ChangeReader,
  ) {}

  onModuleInit(): void {
    this.changes.onGap(() => this.clusters.clear());
    this.changes.subscribe((changes) => {
      for (const { clusterId, nodeId, kind, resourceType, resourceId } of changes) {
        if (clusterId === null) continue;
        const node = nodeId ?? (resourceType === 'node' ? resourceId : null);
        if (node !== null) this.clusters.get(clusterId)?.forget(node);
        else if (CONCERNS_ALL.test(kind)) this.clusters.get(clusterId)?.changed();
      }
    });
  }

  /** The node's state; null when it is no member. */
  async get(clusterId: string, nodeId: string): Promise<NodeState | null> {
    const node = { clusterId, nodeId };
    if (!this.changes.isCaughtUp()) return this.loads.add(node);
    const key = nodeStateKey(node);
    const known = this.known(clusterId, nodeId) ?? (await this.renewed([node])).get(key);
    if (known !== undefined) return known;
    const loading = this.clusters.get(clusterId)?.loading(nodeId) ?? this.load([node], this.loadOne(node));
    return (await loading).get(key) ?? null;
  }

  /** The states of many nodes in one look, by key of `nodeStateKey`; what is no member is absent. */
  async getAll(nodes: readonly NodeKey[]): Promise<ReadonlyMap<string, NodeState>> {
    if (!this.changes.isCaughtUp()) return this.repository.load(nodes);
    const found = await this.renewed(nodes);
    const missing: NodeKey[] = [];
    for (const node of nodes) {
      const key = nodeStateKey(node);
      if (found.has(key)) continue;
      const state = this.clusters.get(node.clusterId)?.known(node.nodeId) ?? null;
      if (state === null) missing.push(node);
      else found.set(key, state);
    }
    if (missing.length === 0) return found;
    for (const [key, state] of await this.load(missing, this.repository.load(missing))) found.set(key, state);
    return found;
  }

  /** The node's state where memory has it and is up to date; null: ask `get`. */
  known(clusterId: string, nodeId: string): NodeState | null {
    if (!this.changes.isCaughtUp()) return null;
    return this.clusters.get(clusterId)?.known(nodeId) ?? null;
  }

  /** Forgets what a transaction of this instance has just changed. */
  forget(touched: Touched): void {
    for (const [clusterId, nodes] of touched) {
      const states = this.clusters.get(clusterId);
      if (typeof nodes === 'string') states?.changed();
      else for (const node of nodes) states?.forget(node);
    }
  }

  /** Those of these nodes whose own part counts on after a change of their cluster, by key. */
  private async renewed(nodes: readonly NodeKey[]): Promise<Map<string, NodeState>> {
    const stale = nodes.filter((node) => this.clusters.get(node.clusterId)?.isStale(node.nodeId) === true);
    const found = new Map<string, NodeState>();
    for (const [clusterId, members] of byCluster(stale)) {
      const look = () => this.look(clusterId);
      for (const [key, state] of (await this.clusters.get(clusterId)?.renew(members, look)) ?? [])
        found.set(key, state);
    }
    return found;
  }

  private async look(clusterId: string): Promise<ClusterLook | null> {
    const heard = this.changes.heard();
    return heard === null ? null : this.repository.look(clusterId, heard);
  }

  private async loadOne(node: NodeKey): Promise<ReadonlyMap<string, NodeState>> {
    const state = await this.loads.add(node);
    return new Map(state === null ? [] : [[nodeStateKey(node), state]]);
  }

  private load(
    nodes: readonly NodeKey[],
    loading: Promise<ReadonlyMap<string, NodeState>>,
  ): Promise<ReadonlyMap<string, NodeState>> {
    for (const [clusterId, members] of byCluster(nodes)) {
      const states = this.clusters.get(clusterId) ?? new ClusterStates();
      this.clusters.set(clusterId, states);
      states.remember(members, loading);
    }
    return loading;
  }
}

function byCluster(nodes: readonly NodeKey[]): Map<string, NodeKey[]> {
  const clusters = new Map<string, NodeKey[]>();
  for (const node of nodes) {
    const members = clusters.get(node.clusterId);
    if (members === undefined) clusters.set(node.clusterId, [node]);
    else members.push(node);
  }
  return clusters;
}
