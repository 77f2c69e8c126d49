import { Injectable, type OnModuleInit } from '@nestjs/common';
import { Batches } from '../../common/batching/batches.js';
import { ChangeReader } from '../../common/changes/change-reader.js';
import { Database } from '../../common/database/database.js';
import { sql } from '../../common/database/sql.js';
import type { Touched } from '../../common/transaction/ports.js';

/** What every call of a node depends on. */
export interface NodeState {
  membershipStatus: 'active' | 'disabled' | 'revoked';
  /** Keys that were revoked; hardly a node has any. */
  revokedIdentityIds: readonly string[];
  generation: number;
  /** The node's own part of it. */
  generationCounter: number;
  /** The cluster's part of it. */
  generationBase: number;
  /** With the counter, tells the node's own content: see `KnownContents`. */
  nodeContentBase: number;
  authorityTerm: number;
  /** When the generation last grew. */
  generationChangedAt: Date;
  snapshotLifetimeSeconds: number;
}

/** Whether what was got with this key counts: the membership lives, and nobody has revoked the key. */
export function letsIn(state: NodeState | null, identityId: string): state is NodeState {
  return (
    state !== null && state.membershipStatus !== 'revoked' && !state.revokedIdentityIds.includes(identityId)
  );
}

/** Changes of a cluster that every node's state depends on. */
const CONCERNS_ALL = /^(snapshot|cluster_policy|authority)\./;

/** After a change of a whole cluster all of its nodes ask at once: a handful of queries, not one for each. */
const LOADING = { gatherMs: 1, size: 500, maxWrites: 4, maxWaiting: 100_000 };

export interface NodeKey {
  clusterId: string;
  nodeId: string;
}

interface ClusterStates {
  nodes: Map<string, Remembered>;
}

interface Remembered {
  /** What it is loaded with, by key. */
  loading: Promise<ReadonlyMap<string, NodeState | null>>;
  /** null while it is being loaded, and for what is no member. */
  loaded: NodeState | null;
}

/**
 * The state of nodes in memory, kept fresh by the change feed, so that an unchanged poll costs no query. An instance
 * that has lost the feed asks the database each time until it has caught up.
 */
@Injectable()
export class NodeStates implements OnModuleInit {
  private readonly clusters = new Map<string, ClusterStates>();
  private readonly loads = new Batches<NodeKey, NodeState>({
    ...LOADING,
    keyOf: nodeStateKey,
    write: (nodes) => this.loadAll(nodes),
  });

  constructor(
    private readonly database: Database,
    private readonly changes: ChangeReader,
  ) {}

  onModuleInit(): void {
    this.changes.onGap(() => this.clusters.clear());
    this.changes.subscribe((changes) => {
      for (const { clusterId, nodeId, kind, resourceType, resourceId } of changes) {
        if (clusterId === null) continue;
        const node = nodeId ?? (resourceType === 'node' ? resourceId : null);
        if (node !== null) this.clusters.get(clusterId)?.nodes.delete(node);
        else if (CONCERNS_ALL.test(kind)) this.clusters.delete(clusterId);
      }
    });
  }

  /** The node's state; null when it is no member. */
  async get(clusterId: string, nodeId: string): Promise<NodeState | null> {
    const node = { clusterId, nodeId };
    if (!this.changes.isCaughtUp()) return this.loads.add(node);
    const known = this.clusters.get(clusterId)?.nodes.get(nodeId);
    const loading = known?.loading ?? this.load([node], this.loadOne(node));
    return known?.loaded ?? (await loading).get(nodeStateKey(node)) ?? null;
  }

  /** The states of many nodes in one look, by key of `nodeStateKey`; what is no member is absent. */
  async getAll(nodes: readonly NodeKey[]): Promise<ReadonlyMap<string, NodeState>> {
    if (!this.changes.isCaughtUp()) return this.loadAll(nodes);
    const found = new Map<string, NodeState>();
    const missing: NodeKey[] = [];
    for (const node of nodes) {
      const state = this.clusters.get(node.clusterId)?.nodes.get(node.nodeId)?.loaded ?? null;
      if (state === null) missing.push(node);
      else found.set(nodeStateKey(node), state);
    }
    if (missing.length === 0) return found;
    for (const [key, state] of await this.load(missing, this.loadAll(missing))) {
      if (state !== null) found.set(key, state);
    }
    return found;
  }

  private async loadOne(node: NodeKey): Promise<ReadonlyMap<string, NodeState | null>> {
    return new Map([[nodeStateKey(node), await this.loads.add(node)]]);
  }

  /** Remembers what is being loaded: a change that comes meanwhile forgets it, and whoever asks then loads anew. */
  private load(
    nodes: readonly NodeKey[],
    loading: Promise<ReadonlyMap<string, NodeState | null>>,
  ): Promise<ReadonlyMap<string, NodeState | null>> {
    const entries = nodes.map((node) => {
      const entry: Remembered = { loading, loaded: null };
      const states = this.clusters.get(node.clusterId) ?? { nodes: new Map() };
      this.clusters.set(node.clusterId, states);
      states.nodes.set(node.nodeId, entry);
      return { node, entry, states };
    });
    loading.then(
      (loaded) => {
        for (const { node, entry } of entries) entry.loaded = loaded.get(nodeStateKey(node)) ?? null;
      },
      () => {
        for (const { node, entry, states } of entries) {
          if (states.nodes.get(node.nodeId) === entry) states.nodes.delete(node.nodeId);
        }
      },
    );
    return loading;
  }

  /** The node's state where memory has it and is up to date; null: ask `get`. */
  known(clusterId: string, nodeId: string): NodeState | null {
    if (!this.changes.isCaughtUp()) return null;
    return this.clusters.get(clusterId)?.nodes.get(nodeId)?.loaded ?? null;
  }

  /** Forgets what a transaction of this instance has just changed. */
  forget(touched: Touched): void {
    for (const [clusterId, nodes] of touched) {
      if (typeof nodes === 'string') this.clusters.delete(clusterId);
      else for (const node of nodes) this.clusters.get(clusterId)?.nodes.delete(node);
    }
  }

  /** By key; what is no member is absent. */
  private async loadAll(nodes: readonly NodeKey[]): Promise<Map<string, NodeState>> {
    const rows = await this.database.queryPrepared<NodeState & NodeKey>(sql`
      SELECT m.cluster_id AS "clusterId", m.node_id AS "nodeId", m.membership_status AS "membershipStatus",
             ARRAY(SELECT i.id FROM node_identities AS i
                    WHERE i.cluster_id = m.cluster_id AND i.node_id = m.node_id AND i.identity_status = 'revoked')
               AS "revokedIdentityIds",
             c.generation_base + m.generation_counter AS generation, m.generation_counter AS "generationCounter",
             c.generation_base AS "generationBase", c.node_content_base AS "nodeContentBase", a.term AS "authorityTerm",
             greatest(c.generation_changed_at, m.generation_changed_at) AS "generationChangedAt",
             p.snapshot_lifetime_seconds AS "snapshotLifetimeSeconds"
        FROM unnest(${nodes.map(({ clusterId }) => clusterId)}::uuid[], ${nodes.map(({ nodeId }) => nodeId)}::uuid[])
             AS n (cluster_id, node_id)
       CROSS JOIN LATERAL (
         -- Each by its own look (OFFSET 0 keeps it that): joined, all members of the cluster are read for some hundred.
         SELECT k.cluster_id, k.node_id, k.membership_status, k.generation_counter, k.generation_changed_at
           FROM cluster_memberships AS k WHERE k.cluster_id = n.cluster_id AND k.node_id = n.node_id OFFSET 0) AS m
        JOIN clusters AS c ON c.id = m.cluster_id
        JOIN cluster_authorities AS a ON a.cluster_id = m.cluster_id
        JOIN cluster_policies AS p ON p.cluster_id = m.cluster_id`);
    return new Map(
      rows.map(({ clusterId, nodeId, ...state }) => [nodeStateKey({ clusterId, nodeId }), state]),
    );
  }
}

/** Names a node of a cluster among others. */
export function nodeStateKey({ clusterId, nodeId }: NodeKey): string {
  return `${clusterId}/${nodeId}`;
}
