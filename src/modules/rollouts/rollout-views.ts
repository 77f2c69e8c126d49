import { Injectable } from '@nestjs/common';
import type { ReadTx } from '../../common/transaction/tx.js';
import type { Assignment } from './assignment.js';
import { AssignmentCountsRepository } from './assignment-counts.repository.js';
import { countsByWave } from './assignment-numbers.js';
import type { Decision } from './decisions.repository.js';
import { NO_ASSIGNMENTS } from './engine/assignment-state.js';
import type { Rollout } from './rollout.js';
import { RolloutsRepository } from './rollouts.repository.js';
import type { RolloutDecisionView, RolloutNodeView, RolloutView } from './rollouts.schema.js';
import { WavesRepository } from './waves.repository.js';

/** Shows rollouts with what becomes of their nodes: a few statements for a page of them. */
@Injectable()
export class RolloutViews {
  constructor(
    private readonly rollouts: RolloutsRepository,
    private readonly waves: WavesRepository,
    private readonly numbers: AssignmentCountsRepository,
  ) {}

  async of(tx: ReadTx, rollouts: readonly Rollout[]): Promise<RolloutView[]> {
    const ids = rollouts.map(({ id }) => id);
    const waves = await this.waves.list(tx, ids);
    const counts = await this.numbers.forward(tx, ids);
    const states = await this.numbers.updateStates(tx, ids);
    const views: RolloutView[] = [];
    for (const rollout of rollouts) {
      const { id, createdByType, createdById, createdAt, updatedAt, startedAt, finishedAt } = rollout;
      const { clusterId, product, targetVersion, state, stateReason, pausedByDecisionId, planHash } = rollout;
      const byWave = countsByWave(counts.filter(({ rolloutId }) => rolloutId === id));
      const approvals = await this.rollouts.approvals(tx, rollout);
      const reported = states.filter(({ rolloutId }) => rolloutId === id);
      views.push({
        ...{ id, clusterId, product, targetVersion, state, stateReason, pausedByDecisionId, planHash },
        kind: rollout.kind,
        downgradePossible: rollout.downgradePossible,
        selector: rollout.selector as RolloutView['selector'],
        strategy: { retryBudget: 0, ...rollout.strategy } as RolloutView['strategy'],
        waves: waves
          .filter(({ rolloutId }) => rolloutId === id)
          .map(
            ({
              name,
              state: waveState,
              dependsOn,
              requiresApproval,
              approvedAt,
              soakSeconds,
              plannedMembers,
              position,
            }) => ({
              ...{
                name,
                state: waveState,
                dependsOn: [...dependsOn],
                requiresApproval,
                soakSeconds,
                plannedMembers,
              },
              approvedAt: approvedAt?.toISOString() ?? null,
              counts: nonZero(byWave.get(position) ?? NO_ASSIGNMENTS),
            }),
          ),
        updateStates: Object.fromEntries(reported.map(({ nodeState, nodes }) => [nodeState, nodes])),
        approvals: approvals.map(({ type, id: approver, approvedAt }) => ({
          approver: { type, id: approver },
          approvedAt: approvedAt.toISOString(),
        })),
        createdBy: { type: createdByType, id: createdById },
        createdAt: createdAt.toISOString(),
        updatedAt: updatedAt.toISOString(),
        startedAt: startedAt?.toISOString() ?? null,
        finishedAt: finishedAt?.toISOString() ?? null,
      });
    }
    return views;
  }
}

export function nodeView(assignment: Assignment & { wave: string | null }): RolloutNodeView {
  const { id, nodeId, wave, direction, state, stateReason, nodeState, fromVersion, toVersion } = assignment;
  const { epoch, attempt, retriesLeft, message, isWrittenOff, stateChangedAt, reportedAt } = assignment;
  return {
    assignmentId: id,
    ...{ nodeId, wave, direction, state, stateReason, updateState: nodeState, fromVersion, toVersion },
    ...{ epoch, attempt, retriesLeft, message, isWrittenOff },
    stateChangedAt: stateChangedAt.toISOString(),
    reportedAt: reportedAt?.toISOString() ?? null,
  };
}

export function decisionView(decision: Decision): RolloutDecisionView {
  const { decidedAt, decidedByType, decidedById, inputs, ...rest } = decision;
  return {
    ...rest,
    decidedAt: decidedAt.toISOString(),
    decidedBy: { type: decidedByType, id: decidedById },
    inputs: inputs as RolloutDecisionView['inputs'],
  };
}

function nonZero<S extends string>(counts: Readonly<Record<S, number>>): Partial<Record<S, number>> {
  const there = Object.entries(counts).filter(([, count]) => (count as number) > 0);
  return Object.fromEntries(there) as Partial<Record<S, number>>;
}
