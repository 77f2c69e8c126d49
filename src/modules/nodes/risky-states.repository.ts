import { Injectable } from '@nestjs/common';
import { sql } from '../../common/database/sql.js';
import type { Actor } from '../../common/request/actor.js';
import type { Tx } from '../../common/transaction/tx.js';
import type { RiskyState } from './risky-state.js';

/** A member, by what identifies it. */
interface MemberKey {
  clusterId: string;
  nodeId: string;
}

@Injectable()
export class RiskyStatesRepository {
  /** Takes the sign of a clone off the node's liveness; null when another transaction has taken it. */
  async takeCloneSign(tx: Tx, { clusterId, nodeId }: MemberKey): Promise<number | null> {
    // A subquery reads what the update replaces: RETURNING shows the new row alone.
    const [row] = await tx.query<{ sign: number }>(sql`
      WITH held AS (
        SELECT l.clone_sign FROM node_liveness AS l
         WHERE l.cluster_id = ${clusterId}::uuid AND l.node_id = ${nodeId}::uuid AND l.clone_sign IS NOT NULL
           FOR NO KEY UPDATE)
      UPDATE node_liveness AS l SET clone_sign = NULL FROM held AS h
       WHERE l.cluster_id = ${clusterId}::uuid AND l.node_id = ${nodeId}::uuid RETURNING h.clone_sign AS sign`);
    return row?.sign ?? null;
  }

  /** Writes the state down; false when it is open already. One that was acknowledged opens anew. */
  async open(tx: Tx, { clusterId, nodeId }: MemberKey, kind: string): Promise<boolean> {
    const rows = await tx.query(sql`
      INSERT INTO node_risky_states AS s (cluster_id, node_id, kind, since)
      VALUES (${clusterId}::uuid, ${nodeId}::uuid, ${kind}, ${tx.now})
      ON CONFLICT (cluster_id, node_id, kind) DO UPDATE
        SET since = excluded.since, acknowledged_at = NULL, acknowledged_by_type = NULL, acknowledged_by_id = NULL
      WHERE s.acknowledged_at IS NOT NULL RETURNING s.kind`);
    return rows.length === 1;
  }

  /** Locks a state that is, or was, written down. */
  async lock(tx: Tx, { clusterId, nodeId }: MemberKey, kind: string): Promise<RiskyState | null> {
    const [row] = await tx.query<RiskyState>(sql`
      SELECT s.cluster_id AS "clusterId", s.node_id AS "nodeId", m.name, s.kind, s.since,
             s.acknowledged_at AS "acknowledgedAt", s.acknowledged_by_type AS "acknowledgedByType",
             s.acknowledged_by_id AS "acknowledgedById"
        FROM node_risky_states AS s
        JOIN cluster_memberships AS m ON m.cluster_id = s.cluster_id AND m.node_id = s.node_id
       WHERE s.cluster_id = ${clusterId}::uuid AND s.node_id = ${nodeId}::uuid AND s.kind = ${kind}
         FOR UPDATE OF s`);
    return row ?? null;
  }

  async acknowledge(tx: Tx, { clusterId, nodeId, kind }: RiskyState, { type, id }: Actor): Promise<void> {
    await tx.query(sql`
      UPDATE node_risky_states AS s
         SET acknowledged_at = ${tx.now}, acknowledged_by_type = ${type}, acknowledged_by_id = ${id}
       WHERE s.cluster_id = ${clusterId}::uuid AND s.node_id = ${nodeId}::uuid AND s.kind = ${kind}`);
  }

  async nameOf(tx: Tx, { clusterId, nodeId }: MemberKey): Promise<string | null> {
    const [row] = await tx.query<{ name: string }>(sql`
      SELECT m.name FROM cluster_memberships AS m
       WHERE m.cluster_id = ${clusterId}::uuid AND m.node_id = ${nodeId}::uuid`);
    return row?.name ?? null;
  }
}
