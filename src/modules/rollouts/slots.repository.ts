import { Injectable } from '@nestjs/common';
import { type Sql, sql } from '../../common/database/sql.js';
import type { ReadTx, Tx } from '../../common/transaction/tx.js';
import type { Assignment } from './assignment.js';
import type { Moved } from './assignments.repository.js';
import { isHeld } from './emergency-coverage.js';
import type { Direction } from './engine/assignment-state.js';
import type { ReadyNode } from './engine/lease-care.js';

/** Whose slots: of one product in one cluster. */
interface SlotScope {
  clusterId: string;
  productId: string;
}

/** Who may be out of service. All of it happens under the lock of the product. */
@Injectable()
export class SlotsRepository {
  /** How many are taken. */
  async count(tx: ReadTx, { clusterId, productId }: SlotScope): Promise<number> {
    const [row] = await tx.query<{ held: number }>(sql`
      SELECT count(*)::int AS held FROM update_slots AS s
       WHERE s.cluster_id = ${clusterId}::uuid AND s.product_id = ${productId}::uuid`);
    return row?.held ?? 0;
  }

  /** And how many of them by nodes that will not give them back. */
  async held(tx: ReadTx, { clusterId, productId }: SlotScope): Promise<{ held: number; stuck: number }> {
    const [row] = await tx.query<{ held: number; stuck: number }>(sql`
      SELECT count(*)::int AS held, count(*) FILTER (WHERE a.state IN ('lost', 'fenced'))::int AS stuck
        FROM update_slots AS s JOIN rollout_assignments AS a ON a.id = s.assignment_id
       WHERE s.cluster_id = ${clusterId}::uuid AND s.product_id = ${productId}::uuid`);
    return row ?? { held: 0, stuck: 0 };
  }

  /** Nodes that have prepared and hold no slot, in the order of their waves. @param isBound asks it of a node */
  ready(
    tx: ReadTx,
    rolloutId: string,
    direction: Direction,
    releaseIds: readonly string[],
    isBound: (nodeId: Sql) => Sql,
    limit: number,
  ): Promise<(ReadyNode & { isBound: boolean })[]> {
    return tx.query(sql`
      SELECT r.*, ${isBound(sql`r."nodeId"`)} AS "isBound" FROM (
        SELECT a.id AS "assignmentId", a.node_id AS "nodeId", a.state_reason AS reason, a.lease_wait_until AS "waitUntil"
          FROM rollout_assignments AS a
         WHERE a.rollout_id = ${rolloutId}::uuid AND a.direction = ${direction} AND a.state = 'offered' AND a.node_state = 'staging'
           AND a.to_release_id = ANY(${[...releaseIds]}::uuid[])
           AND NOT EXISTS (SELECT 1 FROM update_slots AS h WHERE h.cluster_id = a.cluster_id AND h.product_id = a.product_id
                                                              AND h.node_id = a.node_id)
           AND NOT ${isHeld(tx)}
         ORDER BY a.wave_position, a.place LIMIT ${limit}) AS r`);
  }

  /** Gives slots to nodes that are ready. They are so still, under the lock; should one not be, the transaction fails. */
  grant(tx: Tx, going: readonly { assignmentId: string; nodeId: string; reason: string | null }[]): Moved[] {
    const ids = going.map(({ assignmentId }) => assignmentId);
    const reasons = going.map(({ reason }) => reason);
    const granting = tx.query(sql`
      WITH chosen AS (
        SELECT a.id, a.cluster_id, a.product_id, a.node_id, a.epoch, g.reason
          FROM unnest(${ids}::uuid[], ${reasons}::text[]) AS g (id, reason) JOIN rollout_assignments AS a ON a.id = g.id
         WHERE a.state = 'offered'),
      taken AS (
        INSERT INTO update_slots (cluster_id, product_id, node_id, assignment_id, epoch, taken_at)
        SELECT c.cluster_id, c.product_id, c.node_id, c.id, c.epoch, ${tx.now} FROM chosen AS c RETURNING assignment_id)
      UPDATE rollout_assignments AS m
         SET state = 'granted', state_reason = c.reason, lease_wait_until = NULL, state_changed_at = ${tx.now}
        FROM taken AS t JOIN chosen AS c ON c.id = t.assignment_id
       WHERE m.id = t.assignment_id RETURNING m.id`);
    tx.confirm(
      granting.then(({ length }) => {
        if (length !== going.length) throw new Error('a node that was ready for its slot was not given it');
      }),
    );
    return going.map(({ assignmentId, nodeId }) => ({ id: assignmentId, nodeId, from: 'offered' }));
  }

  /** Takes slots whether or not any are free: the nodes are out of service already. */
  take(tx: Tx, assignments: readonly Assignment[]): void {
    if (assignments.length === 0) return;
    tx.send(sql`
      INSERT INTO update_slots AS s (cluster_id, product_id, node_id, assignment_id, epoch, taken_at)
      SELECT n."clusterId", n."productId", n."nodeId", n.id, n.epoch, ${tx.now}
        FROM jsonb_to_recordset(${JSON.stringify(assignments)}::jsonb)
             AS n ("clusterId" uuid, "productId" uuid, "nodeId" uuid, id uuid, epoch bigint)
      ON CONFLICT (cluster_id, product_id, node_id) DO NOTHING`);
  }

  /** Gives back what these nodes hold. */
  release(tx: Tx, { clusterId, productId }: SlotScope, nodeIds: readonly string[]): void {
    if (nodeIds.length === 0) return;
    tx.send(sql`
      DELETE FROM update_slots AS s WHERE s.cluster_id = ${clusterId}::uuid AND s.product_id = ${productId}::uuid
         AND s.node_id = ANY(${[...nodeIds]}::uuid[])`);
  }

  /** Gives back all that a node holds. */
  async releaseAll(tx: Tx, clusterId: string, nodeId: string): Promise<void> {
    await tx.query(
      sql`DELETE FROM update_slots AS s WHERE s.cluster_id = ${clusterId}::uuid AND s.node_id = ${nodeId}::uuid`,
    );
  }
}
