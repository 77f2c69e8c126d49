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

interface NodeKey {
  clusterId: string;
  nodeId: string;
}

interface ClusterStates {
  nodes: Map<string, Remembered>;
}

interface Remembered {
  loading: Promise<NodeState | null>;
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
    keyOf,
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
  get(clusterId: string, nodeId: string): Promise<NodeState | null> {
    if (!this.changes.isCaughtUp()) return this.loads.add({ clusterId, nodeId });
    const states = this.clusters.get(clusterId) ?? { nodes: new Map() };
    this.clusters.set(clusterId, states);
    const known = states.nodes.get(nodeId);
    if (known !== undefined) return known.loading;
    const entry: Remembered = { loading: this.loads.add({ clusterId, nodeId }), loaded: null };
    states.nodes.set(nodeId, entry);
    entry.loading.then(
      (state) => {
        entry.loaded = state;
      },
      () => states.nodes.delete(nodeId),
    );
    return entry.loading;
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
    const rows = await this.database.query<NodeState & NodeKey>(sql`
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
        JOIN cluster_memberships AS m ON m.cluster_id = n.cluster_id AND m.node_id = n.node_id
        JOIN clusters AS c ON c.id = m.cluster_id
        JOIN cluster_authorities AS a ON a.cluster_id = m.cluster_id
        JOIN cluster_policies AS p ON p.cluster_id = m.cluster_id`);
    return new Map(rows.map(({ clusterId, nodeId, ...state }) => [keyOf({ clusterId, nodeId }), state]));
  }
}

function keyOf({ clusterId, nodeId }: NodeKey): string {
  return `${clusterId}/${nodeId}`;
}
