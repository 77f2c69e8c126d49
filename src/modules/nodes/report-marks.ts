import { Injectable } from '@nestjs/common';
import { type Sql, sql } from '../../common/database/sql.js';
import type { ReadTx, Tx } from '../../common/transaction/tx.js';

interface NodeKey {
  clusterId: string;
  nodeId: string;
}

/** A node's last heartbeat that was news: which agent sent it, and its sequence. */
export interface LastHeartbeat extends NodeKey {
  agentInstanceId: string | null;
  sequence: number;
}

const nodeRows = (
  nodes: readonly NodeKey[],
): Sql => sql`unnest(${nodes.map(({ clusterId }) => clusterId)}::uuid[],
  ${nodes.map(({ nodeId }) => nodeId)}::uuid[]) AS n (cluster_id, node_id)`;

/**
 * What of a node's heartbeats has been taken in by those who follow them: a digest that the statement which writes the
 * next heartbeat returns, so that news is told from what is known without a read of its own, on every instance.
 */
@Injectable()
export class ReportMarks {
  /** Until the transaction ends no other report of these nodes is taken in. Each node is named once. */
  async lock(tx: Tx, nodes: readonly NodeKey[]): Promise<void> {
    if ((await this.lockKnown(tx, nodes)) === nodes.length) return;
    await tx.query(sql`
      INSERT INTO node_report_marks (cluster_id, node_id)
      SELECT n.cluster_id, n.node_id FROM ${nodeRows(nodes)} ORDER BY n.node_id, n.cluster_id ON CONFLICT DO NOTHING`);
    await this.lockKnown(tx, nodes);
  }

  /** The last heartbeats of these nodes as they are now; a node that has sent none is left out. */
  lastHeartbeats(tx: ReadTx, nodes: readonly NodeKey[]): Promise<LastHeartbeat[]> {
    return tx.query<LastHeartbeat>(sql`
      SELECT l.cluster_id AS "clusterId", l.node_id AS "nodeId", l.agent_instance_id AS "agentInstanceId", l.sequence
        FROM node_liveness AS l JOIN ${nodeRows(nodes)} ON n.cluster_id = l.cluster_id AND n.node_id = l.node_id`);
  }

  /** Sets the marks of nodes that this transaction holds locked; null: the next heartbeat is looked at, whatever it says. */
  async set(tx: Tx, marks: readonly (NodeKey & { mark: number | null })[]): Promise<void> {
    await tx.query(sql`
      UPDATE node_report_marks AS k SET mark = n.mark
        FROM unnest(${marks.map(({ clusterId }) => clusterId)}::uuid[], ${marks.map(({ nodeId }) => nodeId)}::uuid[],
                    ${marks.map(({ mark }) => mark)}::bigint[]) AS n (cluster_id, node_id, mark)
       WHERE k.cluster_id = n.cluster_id AND k.node_id = n.node_id AND k.mark IS DISTINCT FROM n.mark`);
  }

  /** In one order for all, so that two who lock many never wait for each other in a circle. */
  private async lockKnown(tx: Tx, nodes: readonly NodeKey[]): Promise<number> {
    const locked = await tx.query(sql`
      SELECT k.node_id FROM node_report_marks AS k
        JOIN ${nodeRows(nodes)} ON n.cluster_id = k.cluster_id AND n.node_id = k.node_id
       ORDER BY k.node_id, k.cluster_id FOR NO KEY UPDATE OF k`);
    return locked.length;
  }
}
