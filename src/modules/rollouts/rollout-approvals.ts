import { Injectable } from '@nestjs/common';
import type { AuditEvent } from '../../common/audit/audit-event.js';
import type { ReadTx, Tx } from '../../common/transaction/tx.js';
import { PolicyReadModel } from '../clusters/policy.read-model.js';
import type { Rollout } from './rollout.js';
import { RolloutMoves } from './rollout-moves.js';
import { RolloutsRepository } from './rollouts.repository.js';

/** Whether rollouts have the approvals that the policy of their cluster asks for. */
@Injectable()
export class RolloutApprovals {
  constructor(
    private readonly rollouts: RolloutsRepository,
    private readonly moves: RolloutMoves,
    private readonly policies: PolicyReadModel,
  ) {}

  /** How many it has, and how many the policy asks for, which stays until the transaction ends. */
  async count(tx: Tx, rollout: Rollout): Promise<{ approvals: number; rolloutApprovals: number }> {
    const [given, { rolloutApprovals }] = await Promise.all([
      this.rollouts.approvals(tx, rollout),
      this.policies.hold(tx, rollout.clusterId),
    ]);
    return { approvals: given.length, rolloutApprovals };
  }

  /** Takes a rollout that waits for approvals on, where it has them all. null: it has not. */
  async complete(tx: Tx, rollout: Rollout): Promise<AuditEvent | null> {
    const { approvals, rolloutApprovals } = await this.count(tx, rollout);
    if (approvals < rolloutApprovals) return null;
    const rule = rolloutApprovals === 0 ? 'no_approval_needed' : 'approvals_complete';
    const inputs = { approvals, rolloutApprovals, planHash: rollout.planHash };
    return this.moves.enter(tx, rollout, 'approved', { rule, reason: null, inputs });
  }

  /** Rollouts that wait although they have what the policy asks for by now. */
  async overdue(tx: ReadTx): Promise<{ clusterId: string; id: string }[]> {
    const waiting = await this.rollouts.waitingForApproval(tx);
    const clusterIds = waiting.map(({ clusterId }) => clusterId);
    const asked = await this.policies.approvalsAsked(tx, clusterIds);
    return waiting.filter(({ clusterId, approvals }) => approvals >= (asked.get(clusterId) ?? Infinity));
  }
}
