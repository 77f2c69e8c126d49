import { Injectable } from '@nestjs/common';
import { violates } from '../../common/database/postgres-errors.js';
import { sql } from '../../common/database/sql.js';
import type { CursorValues } from '../../common/http/cursor.js';
import type { ReadTx, Tx } from '../../common/transaction/tx.js';
import { decidesNow } from './emergency-coverage.js';
import type { EmergencyEnd, EmergencyPin, EmergencyPinStatus } from './emergency-pin.js';
import type { AssignmentState } from './engine/assignment-state.js';

const COLUMNS = sql`p.id, p.cluster_id AS "clusterId", p.product_id AS "productId", g.name AS product,
  p.release_id AS "releaseId", p.version, p.scope, p.reason, p.expires_at AS "expiresAt", p.rollout_id AS "rolloutId",
  p.created_by_type AS "createdByType", p.created_by_id AS "createdById", p.created_at AS "createdAt",
  p.activated_at AS "activatedAt", p.ended_at AS "endedAt", p.ended_because AS "endedBecause", p.end_reason AS "endReason"`;
const TABLES = sql`emergency_pins AS p JOIN products AS g ON g.id = p.product_id`;

/** An emergency pin that covers nodes which another one is to cover too. */
export interface Overlap {
  pinId: string;
  nodes: number;
}

/** Written under the lock of the product. */
@Injectable()
export class EmergencyPinsRepository {
  async insert(tx: Tx, pin: EmergencyPin): Promise<void> {
    await tx.query(sql`
      INSERT INTO emergency_pins (id, cluster_id, product_id, release_id, version, scope, reason, expires_at, rollout_id,
             created_by_type, created_by_id, created_at)
      VALUES (${pin.id}::uuid, ${pin.clusterId}::uuid, ${pin.productId}::uuid, ${pin.releaseId}::uuid, ${pin.version},
              ${JSON.stringify(pin.scope)}::jsonb, ${pin.reason}, ${pin.expiresAt}, ${pin.rolloutId}::uuid,
              ${pin.createdByType}, ${pin.createdById}, ${pin.createdAt})`);
  }

  /** Takes the nodes of its rollout for it. false: one of them has an emergency pin already. */
  async cover(tx: Tx, { id, rolloutId }: EmergencyPin): Promise<boolean> {
    try {
      await tx.query(sql`
        INSERT INTO emergency_pin_nodes (cluster_id, product_id, node_id, pin_id)
        SELECT a.cluster_id, a.product_id, a.node_id, ${id}::uuid FROM rollout_assignments AS a
         WHERE a.rollout_id = ${rolloutId}::uuid AND a.direction = 'forward' ORDER BY a.node_id`);
      return true;
    } catch (error) {
      if (!violates(error, 'emergency_pin_nodes_pkey')) throw error;
      return false;
    }
  }

  /** The emergency pins that have some of these nodes: the one with most of them first. */
  overlaps(tx: ReadTx, clusterId: string, productId: string, nodeIds: readonly string[]): Promise<Overlap[]> {
    return tx.query<Overlap>(sql`
      SELECT e.pin_id AS "pinId", count(*)::int AS nodes FROM emergency_pin_nodes AS e
       WHERE e.cluster_id = ${clusterId}::uuid AND e.product_id = ${productId}::uuid AND e.node_id = ANY(${[...nodeIds]}::uuid[])
       GROUP BY e.pin_id ORDER BY nodes DESC, e.pin_id`);
  }

  async find(tx: ReadTx, clusterId: string, id: string): Promise<EmergencyPin | null> {
    const [row] = await tx.query<EmergencyPin>(sql`
      SELECT ${COLUMNS} FROM ${TABLES} WHERE p.cluster_id = ${clusterId}::uuid AND p.id = ${id}::uuid`);
    return row ?? null;
  }

  async ofRollout(tx: ReadTx, rolloutId: string): Promise<EmergencyPin | null> {
    const [row] = await tx.query<EmergencyPin>(
      sql`SELECT ${COLUMNS} FROM ${TABLES} WHERE p.rollout_id = ${rolloutId}::uuid`,
    );
    return row ?? null;
  }

  /** Newest first. */
  list(
    tx: ReadTx,
    clusterId: string,
    { product, status }: { product?: string | undefined; status?: EmergencyPinStatus | undefined },
    after: CursorValues | null,
    limit: number,
  ): Promise<EmergencyPin[]> {
    const [createdAt = null, id = null] = after ?? [];
    const isSo = sql`coalesce(p.ended_because, CASE WHEN p.expires_at <= ${tx.now} THEN 'expired'
      WHEN p.activated_at IS NULL THEN 'pending_approval' ELSE 'in_force' END) = ${status ?? null}`;
    return tx.query<EmergencyPin>(sql`
      SELECT ${COLUMNS} FROM ${TABLES}
       WHERE p.cluster_id = ${clusterId}::uuid AND (${product ?? null}::text IS NULL OR g.name = ${product ?? null})
         AND (${status ?? null}::text IS NULL OR ${isSo})
         AND (${createdAt}::timestamptz IS NULL OR (p.created_at, p.id) < (${createdAt}::timestamptz, ${id}::uuid))
       ORDER BY p.created_at DESC, p.id DESC LIMIT ${limit + 1}`);
  }

  /** The one that decides about the node now; null: none does. */
  async ofNode(
    tx: ReadTx,
    clusterId: string,
    nodeId: string,
    productId: string,
  ): Promise<EmergencyPin | null> {
    const [row] = await tx.query<EmergencyPin>(sql`
      SELECT ${COLUMNS} FROM ${TABLES} JOIN emergency_pin_nodes AS e ON e.pin_id = p.id
       WHERE e.cluster_id = ${clusterId}::uuid AND e.product_id = ${productId}::uuid AND e.node_id = ${nodeId}::uuid
         AND ${decidesNow(tx)}`);
    return row ?? null;
  }

  /** Those of the product that have expired, and of which that is not written down. */
  overdue(tx: ReadTx, clusterId: string, productId: string): Promise<EmergencyPin[]> {
    return tx.query<EmergencyPin>(sql`
      SELECT ${COLUMNS} FROM ${TABLES} WHERE p.cluster_id = ${clusterId}::uuid AND p.product_id = ${productId}::uuid
         AND p.ended_at IS NULL AND p.expires_at <= ${tx.now} ORDER BY p.id`);
  }

  async leads(tx: ReadTx, rolloutId: string): Promise<boolean> {
    const rows = await tx.query(
      sql`SELECT 1 AS led FROM emergency_pins AS p WHERE p.rollout_id = ${rolloutId}::uuid AND ${decidesNow(tx)}`,
    );
    return rows.length === 1;
  }

  async activate(tx: Tx, { id }: EmergencyPin): Promise<void> {
    await tx.query(sql`UPDATE emergency_pins AS p SET activated_at = ${tx.now} WHERE p.id = ${id}::uuid`);
  }

  /** It decides about nobody any more. */
  async end(
    tx: Tx,
    { id }: EmergencyPin,
    at: Date,
    because: EmergencyEnd,
    reason: string | null,
  ): Promise<void> {
    await tx.query(sql`
      UPDATE emergency_pins AS p SET ended_at = ${at}, ended_because = ${because}, end_reason = ${reason}
       WHERE p.id = ${id}::uuid`);
    await tx.query(sql`DELETE FROM emergency_pin_nodes AS e WHERE e.pin_id = ${id}::uuid`);
  }

  /** The node is gone. */
  async letGo(tx: Tx, clusterId: string, nodeId: string): Promise<void> {
    await tx.query(sql`
      DELETE FROM emergency_pin_nodes AS e WHERE e.cluster_id = ${clusterId}::uuid AND e.node_id = ${nodeId}::uuid`);
  }

  /** The nodes of their rollouts by state and its reason. */
  numbers(
    tx: ReadTx,
    rolloutIds: readonly string[],
  ): Promise<{ rolloutId: string; state: AssignmentState; reason: string | null; nodes: number }[]> {
    return tx.query(sql`
      SELECT a.rollout_id AS "rolloutId", a.state, a.state_reason AS reason, count(*)::int AS nodes
        FROM rollout_assignments AS a
       WHERE a.rollout_id = ANY(${[...rolloutIds]}::uuid[]) AND a.direction = 'forward' AND a.state <> 'decommissioned'
       GROUP BY a.rollout_id, a.state, a.state_reason`);
  }
}
