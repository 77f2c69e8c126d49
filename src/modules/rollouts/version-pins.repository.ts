import { Injectable } from '@nestjs/common';
import { type Sql, sql } from '../../common/database/sql.js';
import type { ReadTx, Tx } from '../../common/transaction/tx.js';
import { decidesNow } from './emergency-coverage.js';
import type { Rollout } from './rollout.js';
import type { VersionPin } from './version-pin.js';

const COLUMNS = sql`v.cluster_id AS "clusterId", v.node_id AS "nodeId", v.product_id AS "productId", p.name AS product,
  v.release_id AS "releaseId", v.version, v.reason, v.expires_at AS "expiresAt", v.created_by_type AS "createdByType",
  v.created_by_id AS "createdById", v.created_at AS "createdAt"`;

/** Which pin, and the release to which it leads. */
export type PinKey = Pick<VersionPin, 'clusterId' | 'nodeId' | 'productId' | 'releaseId'>;

/** The node of the pin `v` is another's for now. */
const somethingElseHas = (tx: ReadTx): Sql => sql`(
  EXISTS (SELECT 1 FROM emergency_pin_nodes AS e JOIN emergency_pins AS p ON p.id = e.pin_id
           WHERE e.cluster_id = v.cluster_id AND e.product_id = v.product_id AND e.node_id = v.node_id AND ${decidesNow(tx)})
  OR EXISTS (SELECT 1 FROM rollout_assignments AS a
              WHERE a.cluster_id = v.cluster_id AND a.product_id = v.product_id AND a.node_id = v.node_id
                AND a.state IN ('granted', 'applying', 'health', 'lost') AND NOT a.is_written_off))`;

/** The nodes that unfinished rollouts of pins lead. Found from these, and not from all that any rollout has to do. */
const ledByPins = (clusterId: string, productId: string): Sql => sql`
  SELECT l.node_id, l.rollout_id
    FROM (SELECT r.id FROM rollouts AS r WHERE r.cluster_id = ${clusterId}::uuid AND r.product_id = ${productId}::uuid
             AND r.kind = 'pin' AND r.finished_at IS NULL OFFSET 0) AS o
    JOIN rollout_assignments AS l ON l.rollout_id = o.id
   WHERE l.direction = 'forward' AND NOT l.is_written_off
     AND l.state IN ('planned', 'offered', 'granted', 'applying', 'health', 'lost', 'deferred')`;

@Injectable()
export class VersionPinsRepository {
  async find(tx: ReadTx, clusterId: string, nodeId: string, productId: string): Promise<VersionPin | null> {
    const [row] = await tx.query<VersionPin>(sql`
      SELECT ${COLUMNS} FROM version_pins AS v JOIN products AS p ON p.id = v.product_id
       WHERE v.cluster_id = ${clusterId}::uuid AND v.node_id = ${nodeId}::uuid AND v.product_id = ${productId}::uuid`);
    return row ?? null;
  }

  /** The versions to which nodes are pinned now, by node id. */
  async inForce(tx: ReadTx, clusterId: string, productId: string): Promise<Map<string, string>> {
    const rows = await tx.query<{ nodeId: string; version: string }>(sql`
      SELECT v.node_id AS "nodeId", v.version FROM version_pins AS v
       WHERE v.cluster_id = ${clusterId}::uuid AND v.product_id = ${productId}::uuid
         AND (v.expires_at IS NULL OR v.expires_at > ${tx.now})`);
    return new Map(rows.map(({ nodeId, version }) => [nodeId, version]));
  }

  /** Nodes that unfinished rollouts of pins are to lead, or lead. */
  async led(tx: ReadTx, clusterId: string, productId: string): Promise<Set<string>> {
    const rows = await tx.query<{ nodeId: string }>(
      sql`SELECT w.node_id AS "nodeId" FROM (${ledByPins(clusterId, productId)}) AS w`,
    );
    return new Set(rows.map(({ nodeId }) => nodeId));
  }

  /** What finds the nodes that unfinished rollouts of pins other than this rollout lead. */
  ledElsewhere({ id, clusterId, productId }: Pick<Rollout, 'id' | 'clusterId' | 'productId'>): Sql {
    return sql`SELECT w.node_id FROM (${ledByPins(clusterId, productId)}) AS w WHERE w.rollout_id <> ${id}::uuid`;
  }

  /** Whether the pin for which the rollout was made still holds. */
  async leads(tx: ReadTx, rolloutId: string): Promise<boolean> {
    const rows = await tx.query(sql`
      SELECT 1 AS held FROM rollouts AS r
        JOIN rollout_assignments AS a ON a.rollout_id = r.id AND a.direction = 'forward'
        JOIN version_pins AS v ON v.cluster_id = r.cluster_id AND v.product_id = r.product_id AND v.node_id = a.node_id
       WHERE r.id = ${rolloutId}::uuid AND v.release_id = r.release_id
         AND (v.expires_at IS NULL OR v.expires_at > ${tx.now}) LIMIT 1`);
    return rows.length === 1;
  }

  /** What says that the pin of the node of `a` keeps it from going to the version. */
  keepsFrom({ now }: ReadTx, version: Sql): Sql {
    return sql`EXISTS (SELECT 1 FROM version_pins AS v
      WHERE v.cluster_id = a.cluster_id AND v.product_id = a.product_id AND v.node_id = a.node_id
        AND v.version <> ${version} AND (v.expires_at IS NULL OR v.expires_at > ${now}))`;
  }

  /** An emergency pin decides about the node, or it is in the middle of another update. */
  async waits(tx: ReadTx, { clusterId, nodeId, productId }: VersionPin): Promise<boolean> {
    const rows = await tx.query(sql`
      SELECT 1 AS waits FROM version_pins AS v
       WHERE v.cluster_id = ${clusterId}::uuid AND v.node_id = ${nodeId}::uuid AND v.product_id = ${productId}::uuid
         AND ${somethingElseHas(tx)}`);
    return rows.length === 1;
  }

  /** Whether the node is to be led there when nothing else has it. */
  async leadLater(tx: Tx, { clusterId, nodeId, productId }: VersionPin, later: boolean): Promise<void> {
    await tx.query(sql`
      UPDATE version_pins AS v SET leads_later = ${later} WHERE v.cluster_id = ${clusterId}::uuid
         AND v.node_id = ${nodeId}::uuid AND v.product_id = ${productId}::uuid`);
  }

  /** Some of those that waited and need not any more. */
  dueLater(tx: ReadTx, limit: number): Promise<PinKey[]> {
    return tx.query<PinKey>(sql`
      SELECT v.cluster_id AS "clusterId", v.node_id AS "nodeId", v.product_id AS "productId", v.release_id AS "releaseId"
        FROM version_pins AS v WHERE v.leads_later AND NOT ${somethingElseHas(tx)}
       ORDER BY v.cluster_id, v.product_id, v.node_id LIMIT ${limit}`);
  }

  async set(tx: Tx, pin: VersionPin): Promise<void> {
    await tx.query(sql`
      INSERT INTO version_pins AS v (cluster_id, node_id, product_id, release_id, version, reason, expires_at,
             created_by_type, created_by_id, created_at)
      VALUES (${pin.clusterId}::uuid, ${pin.nodeId}::uuid, ${pin.productId}::uuid, ${pin.releaseId}::uuid, ${pin.version},
              ${pin.reason}, ${pin.expiresAt}, ${pin.createdByType}, ${pin.createdById}, ${pin.createdAt})
      ON CONFLICT (cluster_id, node_id, product_id) DO UPDATE
         SET release_id = excluded.release_id, version = excluded.version, reason = excluded.reason,
             expires_at = excluded.expires_at, created_by_type = excluded.created_by_type,
             created_by_id = excluded.created_by_id, created_at = excluded.created_at, leads_later = false`);
  }

  async remove(tx: Tx, { clusterId, nodeId, productId }: VersionPin): Promise<void> {
    await tx.query(sql`
      DELETE FROM version_pins AS v WHERE v.cluster_id = ${clusterId}::uuid AND v.node_id = ${nodeId}::uuid
         AND v.product_id = ${productId}::uuid`);
  }
}
