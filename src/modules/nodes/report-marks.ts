import { Injectable } from '@nestjs/common';
import { sql } from '../../common/database/sql.js';
import type { Tx } from '../../common/transaction/tx.js';

/** A node's last heartbeat that was news: which agent sent it, and its sequence. */
export interface LastHeartbeat {
  clusterId: string;
  nodeId: string;
  agentInstanceId: string | null;
  sequence: number;
}

type NodeKey = Pick<LastHeartbeat, 'clusterId' | 'nodeId'>;

/**
 * What of a node's heartbeats has been taken in by those who follow them: a digest that stands beside the last
 * heartbeat and comes back with the next one, so that news is told from what is known without a read, on every instance.
 */
@Injectable()
export class ReportMarks {
  /**
   * Locks the last heartbeats of these nodes, in the order in which heartbeats are written. Until the transaction ends
   * no other report of these nodes is taken in; a node that has sent no heartbeat yet has none.
   */
  lock(tx: Tx, nodes: readonly NodeKey[]): Promise<LastHeartbeat[]> {
    return tx.query<LastHeartbeat>(sql`
      SELECT l.cluster_id AS "clusterId", l.node_id AS "nodeId", l.agent_instance_id AS "agentInstanceId", l.sequence
        FROM node_liveness AS l
        JOIN unnest(${nodes.map(({ clusterId }) => clusterId)}::uuid[], ${nodes.map(({ nodeId }) => nodeId)}::uuid[])
          AS n (cluster_id, node_id) ON n.cluster_id = l.cluster_id AND n.node_id = l.node_id
       ORDER BY l.node_id, l.cluster_id FOR NO KEY UPDATE OF l`);
  }

  /** Sets the marks of nodes that this transaction holds locked; null: the next heartbeat is looked at, whatever it says. */
  async set(tx: Tx, marks: readonly (NodeKey & { mark: number | null })[]): Promise<void> {
    await tx.query(sql`
      UPDATE node_liveness AS l SET report_mark = n.mark
        FROM unnest(${marks.map(({ clusterId }) => clusterId)}::uuid[], ${marks.map(({ nodeId }) => nodeId)}::uuid[],
                    ${marks.map(({ mark }) => mark)}::bigint[]) AS n (cluster_id, node_id, mark)
       WHERE l.cluster_id = n.cluster_id AND l.node_id = n.node_id`);
  }
}
