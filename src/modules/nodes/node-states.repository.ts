import { Injectable } from '@nestjs/common';
import { type FeedPosition, feedPosition, wentBack } from '../../common/changes/feed-position.js';
import { unheard } from '../../common/changes/reading.sql.js';
import { Database } from '../../common/database/database.js';
import { sql } from '../../common/database/sql.js';
import {
  type ClusterState,
  type NodeKey,
  type NodeState,
  nodeState,
  nodeStateKey,
  type OwnState,
} from './node-state.js';

/** What the nodes of a cluster share, and of which of them a reader of the feed has not heard all until then. */
export interface ClusterLook {
  cluster: ClusterState;
  unheardNodeIds: readonly string[];
}

const CLUSTER = sql`c.generation_base AS "generationBase", c.generation_changed_at AS "baseChangedAt",
  c.node_content_base AS "nodeContentBase", a.term AS "authorityTerm", p.snapshot_lifetime_seconds AS "snapshotLifetimeSeconds"`;

/** Reads what every call of a node depends on. */
@Injectable()
export class NodeStatesRepository {
  constructor(private readonly database: Database) {}

  /** The states of these nodes by key; what is no member is absent. */
  async load(nodes: readonly NodeKey[]): Promise<Map<string, NodeState>> {
    const rows = await this.database.queryPrepared<OwnState & ClusterState & NodeKey>(sql`
      SELECT m.cluster_id AS "clusterId", m.node_id AS "nodeId", m.membership_status AS "membershipStatus",
             ARRAY(SELECT i.id FROM node_identities AS i
                    WHERE i.cluster_id = m.cluster_id AND i.node_id = m.node_id AND i.identity_status = 'revoked')
               AS "revokedIdentityIds",
             m.generation_counter AS "generationCounter", m.generation_changed_at AS "counterChangedAt", ${CLUSTER}
        FROM unnest(${nodes.map(({ clusterId }) => clusterId)}::uuid[], ${nodes.map(({ nodeId }) => nodeId)}::uuid[])
             AS n (cluster_id, node_id)
       CROSS JOIN LATERAL (
         -- Each by its own look (OFFSET 0 keeps it that): joined, all members of the cluster are read for some hundred.
         SELECT k.cluster_id, k.node_id, k.membership_status, g.generation_counter, g.generation_changed_at
           FROM cluster_memberships AS k
           JOIN node_generations AS g ON g.cluster_id = k.cluster_id AND g.node_id = k.node_id
          WHERE k.cluster_id = n.cluster_id AND k.node_id = n.node_id OFFSET 0) AS m
        JOIN clusters AS c ON c.id = m.cluster_id
        JOIN cluster_authorities AS a ON a.cluster_id = m.cluster_id
        JOIN cluster_policies AS p ON p.cluster_id = m.cluster_id`);
    return new Map(rows.map((row) => [nodeStateKey(row), nodeState(row, row)]));
  }

  /**
   * What the nodes of the cluster share, with those of whom something was committed that a reader at `heard` has not
   * handed over: both of one instant. null: there is no such cluster, or the database is not the one that was read.
   */
  async look(clusterId: string, heard: FeedPosition): Promise<ClusterLook | null> {
    const nodeOf = sql`coalesce(f.node_id::text, f.resource_id)`;
    const ofNodes = sql`f.cluster_id = ${clusterId}::uuid AND (f.node_id IS NOT NULL OR f.resource_type = 'node')`;
    const [row] = await this.database.queryPrepared<
      ClusterState & { unheardNodeIds: string[]; snapshot: string }
    >(sql`
      SELECT ${CLUSTER}, pg_current_snapshot()::text AS snapshot, ARRAY(${unheard(heard, nodeOf, ofNodes)}) AS "unheardNodeIds"
        FROM clusters AS c
        JOIN cluster_authorities AS a ON a.cluster_id = c.id
        JOIN cluster_policies AS p ON p.cluster_id = c.id
       WHERE c.id = ${clusterId}::uuid`);
    if (row === undefined || wentBack(heard, feedPosition(row.snapshot))) return null;
    return { cluster: row, unheardNodeIds: row.unheardNodeIds };
  }
}
