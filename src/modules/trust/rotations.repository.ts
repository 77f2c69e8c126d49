import { Injectable } from '@nestjs/common';
import { type Sql, sql } from '../../common/database/sql.js';
import type { CursorValues } from '../../common/http/cursor.js';
import type { ReadTx, Tx } from '../../common/transaction/tx.js';
import type { Acknowledgement, Rotation, RotationKind, RotationPhase, WaitingNode } from './rotation.js';

const COLUMNS = sql`r.id, r.cluster_id AS "clusterId", r.kind, r.phase, r.old_kid AS "oldKid", r.new_kid AS "newKid",
  r.started_by_type AS "startedByType", r.started_by_id AS "startedById", r.prepared_at AS "preparedAt",
  r.activated_at AS "activatedAt", r.tainted_at AS "taintedAt", r.retired_at AS "retiredAt",
  r.override_reason AS "overrideReason", r.announced_base AS "announcedBase"`;

/** Members that are not revoked and were seen, or joined, less long ago than makes a node offline. */
const liveNodes = (clusterId: string): Sql => sql`cluster_memberships AS m
  JOIN clusters AS c ON c.id = m.cluster_id
  JOIN cluster_policies AS p ON p.cluster_id = m.cluster_id
  LEFT JOIN node_liveness AS l ON l.cluster_id = m.cluster_id AND l.node_id = m.node_id
  LEFT JOIN node_generations AS g ON g.cluster_id = m.cluster_id AND g.node_id = m.node_id
 WHERE m.cluster_id = ${clusterId}::uuid AND m.membership_status <> 'revoked'
   AND coalesce(l.last_seen_at, m.joined_at) > now() - make_interval(secs => p.heartbeat_seconds * p.offline_after_missed)`;

/**
 * Whether a node holds what is new. For an authority it says so: the fingerprint of the bundle. A new snapshot key is
 * announced in snapshots, so a node that has applied a generation from then on knows it: one at least that base and
 * the node's own counter of today has at least that base, since neither ever falls.
 */
function holds(kind: RotationKind): Sql {
  return kind === 'ca'
    ? sql`coalesce(l.trust_bundle_seen = c.trust_bundle_fingerprint, false)`
    : sql`coalesce(l.applied_generation >= g.generation_counter + (
        SELECT max(r.announced_base) FROM trust_rotations AS r
         WHERE r.cluster_id = m.cluster_id AND r.kind = 'snapshot_key'), false)`;
}

@Injectable()
export class RotationsRepository {
  async insert(tx: Tx, rotation: Rotation): Promise<void> {
    await tx.query(sql`
      INSERT INTO trust_rotations (id, cluster_id, kind, phase, old_kid, new_kid, started_by_type, started_by_id,
             prepared_at, announced_base)
      VALUES (${rotation.id}::uuid, ${rotation.clusterId}::uuid, ${rotation.kind}, ${rotation.phase}, ${rotation.oldKid},
              ${rotation.newKid}, ${rotation.startedByType}, ${rotation.startedById}, ${rotation.preparedAt},
              ${rotation.announcedBase})`);
  }

  /** The base of the cluster's generations, which nobody else raises before the transaction ends. */
  async lockBase(tx: Tx, clusterId: string): Promise<number> {
    const [row] = await tx.query<{ base: number }>(sql`
      SELECT c.generation_base AS base FROM clusters AS c WHERE c.id = ${clusterId}::uuid FOR NO KEY UPDATE`);
    if (row === undefined) throw new Error(`there is no cluster ${clusterId}`);
    return row.base;
  }

  async find(tx: ReadTx, clusterId: string, id: string): Promise<Rotation | null> {
    const [row] = await tx.query<Rotation>(sql`
      SELECT ${COLUMNS} FROM trust_rotations AS r WHERE r.cluster_id = ${clusterId}::uuid AND r.id = ${id}::uuid`);
    return row ?? null;
  }

  /** The rotations that brought these keys. */
  findByNewKeys(tx: ReadTx, clusterId: string, kids: readonly string[]): Promise<Rotation[]> {
    return tx.query<Rotation>(sql`
      SELECT ${COLUMNS} FROM trust_rotations AS r
       WHERE r.cluster_id = ${clusterId}::uuid AND r.new_kid = ANY(${kids}::text[])`);
  }

  async lock(tx: Tx, clusterId: string, id: string): Promise<Rotation | null> {
    const [row] = await tx.query<Rotation>(sql`
      SELECT ${COLUMNS} FROM trust_rotations AS r
       WHERE r.cluster_id = ${clusterId}::uuid AND r.id = ${id}::uuid FOR UPDATE`);
    return row ?? null;
  }

  async setPhase(tx: Tx, id: string, phase: RotationPhase, overrideReason: string | null): Promise<void> {
    const at: Record<RotationPhase, Sql> = {
      prepare: sql`prepared_at`,
      activate: sql`activated_at`,
      taint: sql`tainted_at`,
      retire: sql`retired_at`,
    };
    await tx.query(sql`
      UPDATE trust_rotations AS r SET phase = ${phase}, ${at[phase]} = ${tx.now},
             override_reason = coalesce(${overrideReason}, r.override_reason)
       WHERE r.id = ${id}::uuid`);
  }

  /** Newest first; one more than `limit`, so that the page knows whether another follows. */
  list(tx: ReadTx, clusterId: string, after: CursorValues | null, limit: number): Promise<Rotation[]> {
    const below =
      after === null ? sql`true` : sql`(r.prepared_at, r.id) < (${after[0]}::timestamptz, ${after[1]}::uuid)`;
    return tx.query<Rotation>(sql`
      SELECT ${COLUMNS} FROM trust_rotations AS r WHERE r.cluster_id = ${clusterId}::uuid AND ${below}
       ORDER BY r.prepared_at DESC, r.id DESC LIMIT ${limit + 1}`);
  }

  /** How many live nodes hold what is new. */
  async acknowledgement(tx: ReadTx, clusterId: string, kind: RotationKind): Promise<Acknowledgement> {
    const [row] = await tx.query<Acknowledgement>(sql`
      SELECT count(*) AS "liveNodes", count(*) FILTER (WHERE ${holds(kind)}) AS acknowledged
        FROM ${liveNodes(clusterId)}`);
    if (row === undefined) throw new Error('an aggregate has one row');
    return row;
  }

  /** Live nodes that lack what is new, by node id. */
  waiting(tx: ReadTx, clusterId: string, kind: RotationKind, limit: number): Promise<WaitingNode[]> {
    return tx.query<WaitingNode>(sql`
      SELECT m.node_id AS "nodeId", m.name, l.last_seen_at AS "lastSeenAt" FROM ${liveNodes(clusterId)}
         AND NOT ${holds(kind)} ORDER BY m.node_id LIMIT ${limit}`);
  }
}
