import { Injectable } from '@nestjs/common';
import { sql } from '../../common/database/sql.js';
import type { Actor } from '../../common/request/actor.js';
import type { ReadTx, Tx } from '../../common/transaction/tx.js';
import { PolicyReadModel } from '../clusters/policy.read-model.js';
import { ReleasesReadModel } from '../releases/releases.read-model.js';
import { AssignmentsRepository } from './assignments.repository.js';
import type { AssignmentState } from './engine/assignment-state.js';
import { type Rollout, rolloutCreated } from './rollout.js';
import { RolloutDrafts } from './rollout-drafts.js';
import { RolloutMoves } from './rollout-moves.js';
import { RolloutNudges } from './rollout-nudges.js';
import { RolloutPlanner } from './rollout-planner.js';
import { RolloutsRepository } from './rollouts.repository.js';
import { isInForce, type VersionPin } from './version-pin.js';
import { type PinKey, VersionPinsRepository } from './version-pins.repository.js';

/** Pins that one sweep takes up. */
const LATER_AT_ONCE = 100;
const OVER = { rule: 'pin_over', reason: null };
const DAY_SECONDS = 86_400;
const IS_LED: readonly AssignmentState[] = [
  'planned',
  'offered',
  'granted',
  'applying',
  'health',
  'lost',
  'deferred',
];
/** Of one node, whose turn it is when a slot of the product is free; how long that takes is no fault of its own. */
const TERMS = {
  waves: [{ name: 'pinned', percent: 100, soakSeconds: 0, requiresApproval: false }],
  maxUnavailable: 1,
  successThresholdPercent: 100,
  failureThresholdPercent: 0,
  minEvidence: 1,
  progressDeadlineSeconds: 30 * DAY_SECONDS,
  nodeDeadlineSeconds: 3_600,
  maintenanceWindows: [],
  autoRollback: false,
  retryBudget: 0,
};

/**
 * Brings pinned nodes to their versions. A pin whose node runs something else is a rollout of that node alone, so that it
 * goes by the same slots, reports, filters and approvals as every other. All of it happens under the lock of the product.
 */
@Injectable()
export class PinMoves {
  constructor(
    private readonly planner: RolloutPlanner,
    private readonly drafts: RolloutDrafts,
    private readonly rollouts: RolloutsRepository,
    private readonly assignments: AssignmentsRepository,
    private readonly moves: RolloutMoves,
    private readonly pins: VersionPinsRepository,
    private readonly policies: PolicyReadModel,
    private readonly releases: ReleasesReadModel,
    private readonly nudges: RolloutNudges,
  ) {}

  /** What the node has not begun of another way is taken from it, and the way to its pin begins, if there is one. */
  async follow(tx: Tx, actor: Actor, pin: VersionPin): Promise<void> {
    await this.stay(tx, pin);
    const byPin = await this.rollouts.ofPin(tx, pin.clusterId, pin.productId, pin.nodeId);
    if (byPin?.targetVersion === pin.version) return;
    await this.letGo(tx, pin);
    if (await this.isOnItsWay(tx, pin)) return;
    await this.holdBack(tx, pin);
    if (await this.pins.waits(tx, pin)) return this.pins.leadLater(tx, pin, true);
    const { clusterId, nodeId, product, version } = pin;
    const strategy = { ...TERMS, startAt: tx.now.toISOString() };
    const wish = { product, targetVersion: version, selector: { nodeIds: [nodeId] }, strategy };
    const prepared = await this.planner.prepare(tx, clusterId, wish, 'pin');
    if (prepared.plan.waves.every(({ nodes }) => nodes.length === 0)) return;
    const id = await this.drafts.write(tx, actor, clusterId, prepared, 'pin');
    const rollout = await this.rollouts.find(tx, clusterId, id);
    if (rollout === null) throw new Error('the rollout of the pin is gone');
    tx.audit(rolloutCreated(rollout));
    // The tick starts it: at once, or when it has the approvals that the policy asks for.
    const { rolloutApprovals } = await this.policies.hold(tx, clusterId);
    if (rolloutApprovals > 0)
      tx.audit(await this.moves.enter(tx, rollout, 'pending_approval', { rule: 'pinned', reason: null }));
    this.nudges.nudge(tx, rollout);
  }

  /** Pins that have waited for what else had their nodes, and need not any more. */
  dueLater(tx: ReadTx): Promise<PinKey[]> {
    return this.pins.dueLater(tx, LATER_AT_ONCE);
  }

  /** Leads the node of such a pin, in the name of who has set it. */
  async takeUp(tx: Tx, { clusterId, nodeId, productId, releaseId }: PinKey): Promise<void> {
    await this.releases.hold(tx, releaseId);
    await this.rollouts.lockProduct(tx, clusterId, productId);
    const pin = await this.pins.find(tx, clusterId, nodeId, productId);
    if (pin === null || pin.releaseId !== releaseId || (await this.pins.waits(tx, pin))) return;
    await this.pins.leadLater(tx, pin, false);
    const actor = { ...tx.actor, type: pin.createdByType as Actor['type'], id: pin.createdById };
    if (isInForce(pin, tx.now)) await this.follow(tx, actor, pin);
  }

  /** The pin holds no more: what the node has not begun of its way is over. */
  async letGo(tx: Tx, { clusterId, productId, nodeId }: VersionPin): Promise<void> {
    const rollout = await this.rollouts.ofPin(tx, clusterId, productId, nodeId);
    if (rollout === null) return;
    tx.audit(await this.moves.enter(tx, rollout, 'cancelled', OVER));
  }

  /** A way that waited for its approvals until its pin had expired is not begun. Says whether it may. */
  async mayBegin(tx: Tx, rollout: Rollout): Promise<boolean> {
    if (rollout.kind !== 'pin' || (await this.pins.leads(tx, rollout.id))) return true;
    tx.audit(await this.moves.enter(tx, rollout, 'cancelled', OVER));
    return false;
  }

  /** The rollout that is under way brings it there. */
  private async isOnItsWay(tx: Tx, { clusterId, productId, nodeId, version }: VersionPin): Promise<boolean> {
    const beside = await this.rollouts.unfinished(tx, clusterId, productId);
    if (beside?.targetVersion !== version) return false;
    const ways = await this.assignments.ofNodes(tx, beside.id, [nodeId]);
    return ways.some(({ direction, state }) => direction === 'forward' && IS_LED.includes(state));
  }

  /** A rollback that has offered the node its way back waits for as long as the pin holds, unless it leads away from a
   *  blocked version. */
  private async stay(tx: Tx, pin: VersionPin): Promise<void> {
    const { clusterId, productId, nodeId } = pin;
    const offering = await this.assignments.offeringBack(tx, pin);
    if (offering.length === 0) return;
    const releases = await this.releases.releasesOf(tx, productId);
    const blocked = new Set(releases.flatMap(({ releaseId, isBlocked }) => (isBlocked ? [releaseId] : [])));
    for (const id of offering) {
      const rollout = await this.rollouts.find(tx, clusterId, id);
      if (rollout === null || blocked.has(rollout.releaseId)) continue;
      const moved = await this.assignments.move(tx, {
        ...{ rolloutId: id, direction: 'back', from: ['offered'], to: 'planned', reason: 'pinned' },
        where: sql`a.node_id = ${nodeId}::uuid`,
      });
      this.moves.tell(tx, rollout, moved, 'planned');
    }
  }

  private async holdBack(tx: Tx, { clusterId, nodeId, productId, version }: VersionPin): Promise<void> {
    const rollout = await this.rollouts.unfinished(tx, clusterId, productId);
    if (rollout === null || rollout.targetVersion === version) return;
    const own = {
      rolloutId: rollout.id,
      direction: 'forward' as const,
      where: sql`a.node_id = ${nodeId}::uuid`,
    };
    const waiting = await this.assignments.move(tx, { ...own, from: ['offered', 'deferred'], to: 'planned' });
    this.moves.tell(tx, rollout, waiting, 'planned');
    const moved = await this.assignments.move(tx, {
      ...own,
      from: ['planned'],
      to: 'skipped',
      reason: 'pinned',
    });
    this.moves.tell(tx, rollout, moved, 'skipped');
  }
}
