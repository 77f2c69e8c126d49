import { Injectable } from '@nestjs/common';
import { sql } from '../../common/database/sql.js';
import type { ReadTx, Tx } from '../../common/transaction/tx.js';
import type { AuthorityClaim, ClaimVerdict, KnownClaim } from './authority-claim.js';

/** What a claim is judged by. */
export interface ClaimGround {
  term: number;
  clusterRaisedAt: Date | null;
  known: KnownClaim;
}

@Injectable()
export class AuthorityClaimsRepository {
  /** null: there is no such cluster. */
  async ground(tx: ReadTx, { clusterId, nodeId }: AuthorityClaim): Promise<ClaimGround | null> {
    const [row] = await tx.query<KnownClaim & Omit<ClaimGround, 'known'>>(sql`
      SELECT a.term, k.noted_at AS "notedAt", k.raised_at AS "raisedAt", k.held_at AS "heldAt",
             (SELECT max(c.raised_at) FROM authority_claims AS c WHERE c.cluster_id = a.cluster_id) AS "clusterRaisedAt"
        FROM cluster_authorities AS a
        LEFT JOIN authority_claims AS k ON k.cluster_id = a.cluster_id AND k.node_id = ${nodeId}::uuid
       WHERE a.cluster_id = ${clusterId}::uuid`);
    if (row === undefined) return null;
    const { term, clusterRaisedAt, notedAt, raisedAt, heldAt } = row;
    return { term, clusterRaisedAt, known: { notedAt, raisedAt, heldAt } };
  }

  async remember(
    tx: Tx,
    { clusterId, nodeId, claimedTerm }: AuthorityClaim,
    { raises, holds }: ClaimVerdict,
  ): Promise<void> {
    await tx.query(sql`
      INSERT INTO authority_claims AS k (cluster_id, node_id, claimed_term, noted_at, raised_at, held_at)
      VALUES (${clusterId}::uuid, ${nodeId}::uuid, ${claimedTerm}::bigint, ${tx.now},
              CASE WHEN ${raises}::boolean THEN ${tx.now}::timestamptz END,
              CASE WHEN ${holds}::boolean THEN ${tx.now}::timestamptz END)
      ON CONFLICT (cluster_id, node_id) DO UPDATE
        SET claimed_term = excluded.claimed_term, noted_at = excluded.noted_at,
            raised_at = coalesce(excluded.raised_at, k.raised_at), held_at = coalesce(excluded.held_at, k.held_at)`);
  }
}
