import { Injectable } from '@nestjs/common';
import type { ReadTx } from '../../common/transaction/tx.js';
import { type EmergencyPin, emergencyPinStatus, endOf } from './emergency-pin.js';
import { EmergencyPinsRepository } from './emergency-pins.repository.js';
import type { EmergencyPinView } from './emergency-pins.schema.js';
import { type AssignmentState, FAILED_STATES, isOneOf } from './engine/assignment-state.js';
import { RolloutsRepository } from './rollouts.repository.js';

/** How many nodes of a rollout are in a state, by its reason. */
interface NodeNumber {
  state: AssignmentState;
  reason: string | null;
  nodes: number;
}

/** Shows emergency pins with what becomes of their nodes. */
@Injectable()
export class EmergencyPinViews {
  constructor(
    private readonly pins: EmergencyPinsRepository,
    private readonly rollouts: RolloutsRepository,
  ) {}

  async of(tx: ReadTx, pins: readonly EmergencyPin[]): Promise<EmergencyPinView[]> {
    const numbers = await this.pins.numbers(
      tx,
      pins.map(({ rolloutId }) => rolloutId),
    );
    const views: EmergencyPinView[] = [];
    for (const pin of pins) {
      const { id, clusterId, product, version, scope, reason, rolloutId, createdByType, createdById } = pin;
      const rollout = await this.rollouts.find(tx, clusterId, rolloutId);
      if (rollout === null) throw new Error('the rollout of the emergency pin is gone');
      const { planHash, state: rolloutState, stateReason: rolloutStateReason, strategy } = rollout;
      const approvals = await this.rollouts.approvals(tx, rollout);
      views.push({
        ...{ id, clusterId, product, version, reason, rolloutId, rolloutState, rolloutStateReason, planHash },
        scope: scope as EmergencyPinView['scope'],
        status: emergencyPinStatus(pin, tx.now),
        expiresAt: pin.expiresAt.toISOString(),
        maxUnavailable: strategy.maxUnavailable,
        approvals: approvals.map(({ type, id: approver, approvedAt }) => ({
          approver: { type, id: approver },
          approvedAt: approvedAt.toISOString(),
        })),
        nodes: emergencyPinNodes(numbers.filter((each) => each.rolloutId === rolloutId)),
        createdBy: { type: createdByType, id: createdById },
        createdAt: pin.createdAt.toISOString(),
        activatedAt: pin.activatedAt?.toISOString() ?? null,
        endedAt: endOf(pin, tx.now)?.toISOString() ?? null,
        endReason: pin.endReason,
      });
    }
    return views;
  }
}

/** Each node is counted once; those that are left out for a reason stand with it. */
export function emergencyPinNodes(numbers: readonly NodeNumber[]): EmergencyPinView['nodes'] {
  const nodes = { covered: 0, onVersion: 0, waiting: 0, inProgress: 0, failed: 0 };
  const deferred: Record<string, number> = {};
  for (const { state, reason, nodes: count } of numbers) {
    nodes.covered += count;
    if (state === 'ok' || reason === 'already_on_target') nodes.onVersion += count;
    else if (state === 'planned') nodes.waiting += count;
    else if (isOneOf(FAILED_STATES, state)) nodes.failed += count;
    else if (isOneOf(['offered', 'granted', 'applying', 'health'], state)) nodes.inProgress += count;
    else deferred[reason ?? state] = (deferred[reason ?? state] ?? 0) + count;
  }
  return { ...nodes, deferred };
}
