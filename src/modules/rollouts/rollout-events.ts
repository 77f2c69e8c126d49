import { Injectable, type OnModuleInit } from '@nestjs/common';
import type { Tx } from '../../common/transaction/tx.js';
import { TxEvents } from '../../common/transaction/tx-events.js';
import { MembershipEnded } from '../nodes/membership-events.js';
import { ReleaseBlocked } from '../releases/release-events.js';
import { AssignmentsRepository } from './assignments.repository.js';
import { DecisionsRepository } from './decisions.repository.js';
import { EmergencyPinsRepository } from './emergency-pins.repository.js';
import { about, type Rollout } from './rollout.js';
import { RolloutEngine } from './rollout-engine.js';
import { RolloutMoves } from './rollout-moves.js';
import { RolloutsRepository } from './rollouts.repository.js';
import { SlotsRepository } from './slots.repository.js';
import { UpdatesRepository } from './updates.repository.js';

const VERSION_BLOCKED = { rule: 'version_blocked', reason: 'version_blocked' };

/** What happens elsewhere and concerns rollouts, in the transaction in which it happens. */
@Injectable()
export class RolloutEvents implements OnModuleInit {
  constructor(
    private readonly events: TxEvents,
    private readonly engine: RolloutEngine,
    private readonly moves: RolloutMoves,
    private readonly rollouts: RolloutsRepository,
    private readonly assignments: AssignmentsRepository,
    private readonly decisions: DecisionsRepository,
    private readonly slots: SlotsRepository,
    private readonly emergencies: EmergencyPinsRepository,
    private readonly updates: UpdatesRepository,
  ) {}

  onModuleInit(): void {
    this.events.on(ReleaseBlocked, async (tx, { release, reason }) => {
      for (const rollout of await this.rollouts.ofRelease(tx, release.releaseId))
        await this.settle(tx, rollout, reason);
      for (const rollout of await this.rollouts.offering(tx, release.releaseId))
        await this.takeBack(tx, rollout);
    });
    this.events.on(MembershipEnded, (tx, { clusterId, nodeId }) => this.leave(tx, clusterId, nodeId));
  }

  /** A block stops what is under way at once. A finished rollout is taken back where nothing else of its product is
   *  unfinished; beside another one it stays finished, and its nodes leave by that one's slots. One that was cancelled
   *  stays so, and those that had gone with it leave. */
  private async settle(tx: Tx, { clusterId, id }: Rollout, reason: string): Promise<void> {
    const held = await this.engine.hold(tx, clusterId, id);
    if (held === null) return;
    const { rollout } = held;
    // It waits for approvals, or for its tick: that of an emergency pin has nothing to wait for any more.
    if (
      rollout.kind === 'emergency' &&
      (rollout.state === 'pending_approval' || rollout.state === 'approved')
    ) {
      tx.audit(await this.moves.enter(tx, rollout, 'cancelled', VERSION_BLOCKED));
      return;
    }
    if (rollout.state === 'running' || rollout.state === 'paused') {
      const settled = await this.engine.advance(tx, held);
      // Its pin is over, and with it what it could be resumed for.
      if (settled.kind === 'emergency' && settled.state === 'paused')
        tx.audit(await this.moves.enter(tx, settled, 'cancelled', VERSION_BLOCKED));
    }
    if (!['succeeded', 'succeeded_with_deferred', 'cancelled'].includes(rollout.state)) return;
    if (!rollout.downgradePossible) return this.noteRetreat(tx, rollout, reason, 'irreversible_migration');
    const beside = await this.rollouts.unfinished(tx, clusterId, rollout.productId);
    if (beside === null && rollout.state !== 'cancelled') {
      tx.audit(await this.moves.enter(tx, rollout, 'rolling_back', VERSION_BLOCKED));
    } else {
      await this.moves.beginRetreat(tx, rollout);
      await this.noteRetreat(tx, rollout, reason, beside === null ? 'cancelled' : `beside ${beside.id}`);
      tx.audit({
        ...about(rollout),
        reason,
        action: 'rollout.retreat_begun',
        before: null,
        after: { version: rollout.targetVersion },
      });
    }
    // Again: the way back leads to releases that are to be held as well.
    const returning = await this.engine.hold(tx, clusterId, id);
    if (returning !== null) await this.engine.advance(tx, returning);
  }

  /** On the way to another version, or back from one, it has offered what is blocked now. */
  private async takeBack(tx: Tx, { clusterId, id }: Pick<Rollout, 'clusterId' | 'id'>): Promise<void> {
    const held = await this.engine.hold(tx, clusterId, id);
    if (held !== null) await this.engine.advance(tx, held);
  }

  private async noteRetreat(tx: Tx, { id, state }: Rollout, reason: string, how: string): Promise<void> {
    const inputs = { blockReason: reason, how };
    const decision = {
      rule: 'version_blocked',
      wave: null,
      fromState: state,
      toState: state,
      reason: how,
      inputs,
    };
    await this.decisions.add(tx, tx.actor, id, decision);
  }

  /** A node that is gone holds nothing, and is counted nowhere. Under the locks of its products: what it reports, or is
   *  granted, at the same time comes before or not at all. */
  private async leave(tx: Tx, clusterId: string, nodeId: string): Promise<void> {
    for (const productId of await this.updates.productsOf(tx, clusterId, nodeId))
      await this.rollouts.lockProduct(tx, clusterId, productId);
    for (const { rolloutId, from } of await this.assignments.decommission(tx, clusterId, nodeId)) {
      const rollout = await this.rollouts.find(tx, clusterId, rolloutId);
      if (rollout !== null) this.moves.tell(tx, rollout, [{ nodeId, from }], 'decommissioned');
    }
    await this.slots.releaseAll(tx, clusterId, nodeId);
    await this.emergencies.letGo(tx, clusterId, nodeId);
  }
}
