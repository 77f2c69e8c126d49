import { Injectable } from '@nestjs/common';
import { sql } from '../../common/database/sql.js';
import type { CursorValues } from '../../common/http/cursor.js';
import type { ReadTx, Tx } from '../../common/transaction/tx.js';

/** What raised the revocation epoch of a cluster. */
export interface Revocation {
  epoch: number;
  nodeId: string;
  /** The one key that was revoked; null: the membership was. */
  identityId: string | null;
  reason: string | null;
  revokedAt: Date;
}

/** How far a revocation has come; latencies in milliseconds, null while nobody has applied it. */
export interface Propagation {
  members: number;
  applied: number;
  medianMs: number | null;
  p95Ms: number | null;
  maxMs: number | null;
}

/** A member and where it stands with a revocation. */
export interface RevocationMember {
  nodeId: string;
  name: string;
  lastSeenAt: Date | null;
  /** The epoch that the node says it applies. */
  epochApplied: number | null;
  /** When it first said so of this one; null when it has not, or that is no longer kept. */
  appliedAt: Date | null;
}

const COLUMNS = sql`r.epoch, r.node_id AS "nodeId", r.identity_id AS "identityId", r.reason, r.revoked_at AS "revokedAt"`;

/** Unrevoked members with what they apply. An epoch that the cluster has not reached, as after a restore, is none. */
const members = (clusterId: string, epoch: number) => sql`
  SELECT m.node_id, m.name, m.joined_at, l.last_seen_at, l.revocation_epoch_applied,
         coalesce(l.revocation_epoch_applied BETWEEN ${epoch} AND c.revocation_epoch, false) AS applied,
         (SELECT min(a.first_seen_at) FROM revocation_acknowledgements AS a
           WHERE a.cluster_id = m.cluster_id AND a.node_id = m.node_id AND a.epoch >= ${epoch}) AS applied_at
    FROM cluster_memberships AS m
    JOIN clusters AS c ON c.id = m.cluster_id
    LEFT JOIN node_liveness AS l ON l.cluster_id = m.cluster_id AND l.node_id = m.node_id
   WHERE m.cluster_id = ${clusterId}::uuid AND m.membership_status <> 'revoked'`;

@Injectable()
export class RevocationsRepository {
  /** Records a revocation under the epoch that it has just raised in this transaction; returns that epoch.
   *  @param identity the one key that was revoked; null: the membership was */
  async record(
    tx: Tx,
    clusterId: string,
    nodeId: string,
    identity: { identityId: string; reason: string } | null,
  ): Promise<number> {
    const [row] = await tx.query<{ epoch: number }>(sql`
      INSERT INTO revocations AS r (cluster_id, epoch, node_id, identity_id, reason, revoked_at)
      SELECT c.id, c.revocation_epoch, m.node_id, ${identity?.identityId ?? null}::uuid,
             coalesce(${identity?.reason ?? null}, m.revocation_reason), ${tx.now}
        FROM clusters AS c JOIN cluster_memberships AS m ON m.cluster_id = c.id
       WHERE c.id = ${clusterId}::uuid AND m.node_id = ${nodeId}::uuid
      RETURNING r.epoch`);
    if (row === undefined) throw new Error('the revocation was not written');
    return row.epoch;
  }

  async find(tx: ReadTx, clusterId: string, epoch: number): Promise<Revocation | null> {
    const [row] = await tx.query<Revocation>(sql`
      SELECT ${COLUMNS} FROM revocations AS r WHERE r.cluster_id = ${clusterId}::uuid AND r.epoch = ${epoch}`);
    return row ?? null;
  }

  /** Newest first; one more than `limit`, so that the page knows whether another follows. */
  list(tx: ReadTx, clusterId: string, after: CursorValues | null, limit: number): Promise<Revocation[]> {
    const below = after === null ? sql`true` : sql`r.epoch < ${after[0]}`;
    return tx.query<Revocation>(sql`
      SELECT ${COLUMNS} FROM revocations AS r WHERE r.cluster_id = ${clusterId}::uuid AND ${below}
       ORDER BY r.epoch DESC LIMIT ${limit + 1}`);
  }

  /** Counts of today's members; latencies of those that were members when it was revoked. */
  async propagation(tx: ReadTx, clusterId: string, { epoch, revokedAt }: Revocation): Promise<Propagation> {
    const [row] = await tx.query<Propagation>(sql`
      WITH member AS (${members(clusterId, epoch)}), latency AS (
        SELECT (extract(epoch FROM b.applied_at - ${revokedAt}::timestamptz) * 1000)::float8 AS ms
          FROM member AS b WHERE b.applied AND b.applied_at IS NOT NULL AND b.joined_at <= ${revokedAt}::timestamptz
      )
      SELECT (SELECT count(*) FROM member) AS members, (SELECT count(*) FROM member AS b WHERE b.applied) AS applied,
             percentile_disc(0.5) WITHIN GROUP (ORDER BY l.ms) AS "medianMs",
             percentile_disc(0.95) WITHIN GROUP (ORDER BY l.ms) AS "p95Ms", max(l.ms) AS "maxMs"
        FROM latency AS l`);
    if (row === undefined) throw new Error('an aggregate has one row');
    return row;
  }

  /** Members that have applied it, or have not, by node id. */
  members(
    tx: ReadTx,
    clusterId: string,
    epoch: number,
    which: 'applied' | 'pending',
    limit: number,
  ): Promise<RevocationMember[]> {
    return tx.query<RevocationMember>(sql`
      WITH member AS (${members(clusterId, epoch)})
      SELECT b.node_id AS "nodeId", b.name, b.last_seen_at AS "lastSeenAt", b.revocation_epoch_applied AS "epochApplied",
             CASE WHEN b.applied THEN b.applied_at END AS "appliedAt"
        FROM member AS b WHERE b.applied = ${which === 'applied'} ORDER BY b.node_id LIMIT ${limit}`);
  }
}
