import { Injectable } from '@nestjs/common';
import { sql } from '../../common/database/sql.js';
import type { ReadTx, Tx } from '../../common/transaction/tx.js';
import type { PolicyView } from './policy.schema.js';

const COLUMNS = sql`p.heartbeat_seconds AS "heartbeatSeconds", p.stale_after_missed AS "staleAfterMissed",
  p.offline_after_missed AS "offlineAfterMissed", p.token_maker_may_approve AS "tokenMakerMayApprove",
  p.rollout_approvals AS "rolloutApprovals", p.partition_detection AS "partitionDetection",
  p.snapshot_lifetime_seconds AS "snapshotLifetimeSeconds", p.degraded_grace_seconds AS "degradedGraceSeconds",
  p.capability_policy AS "capabilityPolicy", p.four_eyes AS "fourEyes",
  p.agent_version_policy AS "agentVersionPolicy", p.stable_promotion AS "stablePromotion"`;

@Injectable()
export class PolicyRepository {
  /** The defaults are the table's. */
  async insert(tx: Tx, clusterId: string): Promise<void> {
    await tx.query(
      sql`INSERT INTO cluster_policies (cluster_id, updated_at) VALUES (${clusterId}::uuid, ${tx.now})`,
    );
  }

  async find(tx: ReadTx, clusterId: string): Promise<PolicyView | null> {
    const [row] = await tx.query<PolicyView>(sql`
      SELECT ${COLUMNS} FROM cluster_policies AS p WHERE p.cluster_id = ${clusterId}::uuid`);
    return row ?? null;
  }

  approvalsAsked(
    tx: ReadTx,
    clusterIds: readonly string[],
  ): Promise<{ clusterId: string; rolloutApprovals: number }[]> {
    return tx.query(sql`
      SELECT p.cluster_id AS "clusterId", p.rollout_approvals AS "rolloutApprovals" FROM cluster_policies AS p
       WHERE p.cluster_id = ANY(${[...clusterIds]}::uuid[])`);
  }

  async lock(tx: Tx, clusterId: string): Promise<PolicyView | null> {
    const [row] = await tx.query<PolicyView>(sql`
      SELECT ${COLUMNS} FROM cluster_policies AS p WHERE p.cluster_id = ${clusterId}::uuid FOR UPDATE`);
    return row ?? null;
  }

  /** Keeps the policy from being changed, beside others that do the same. */
  async hold(tx: Tx, clusterId: string): Promise<PolicyView | null> {
    const [row] = await tx.query<PolicyView>(sql`
      SELECT ${COLUMNS} FROM cluster_policies AS p WHERE p.cluster_id = ${clusterId}::uuid FOR KEY SHARE`);
    return row ?? null;
  }

  async update(tx: Tx, clusterId: string, policy: PolicyView): Promise<void> {
    await tx.query(sql`
      UPDATE cluster_policies AS p
         SET heartbeat_seconds = ${policy.heartbeatSeconds}, stale_after_missed = ${policy.staleAfterMissed},
             offline_after_missed = ${policy.offlineAfterMissed}, token_maker_may_approve = ${policy.tokenMakerMayApprove},
             rollout_approvals = ${policy.rolloutApprovals},
             partition_detection = ${JSON.stringify(policy.partitionDetection)}::jsonb,
             snapshot_lifetime_seconds = ${policy.snapshotLifetimeSeconds},
             degraded_grace_seconds = ${policy.degradedGraceSeconds},
             capability_policy = ${JSON.stringify(policy.capabilityPolicy)}::jsonb,
             four_eyes = ${JSON.stringify(policy.fourEyes)}::jsonb,
             agent_version_policy = ${JSON.stringify(policy.agentVersionPolicy)}::jsonb,
             stable_promotion = ${JSON.stringify(policy.stablePromotion)}::jsonb, updated_at = ${tx.now}
       WHERE p.cluster_id = ${clusterId}::uuid`);
  }
}
