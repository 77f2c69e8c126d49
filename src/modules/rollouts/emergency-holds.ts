import { Injectable } from '@nestjs/common';
import type { AuditEvent } from '../../common/audit/audit-event.js';
import { sql } from '../../common/database/sql.js';
import type { Tx } from '../../common/transaction/tx.js';
import { AssignmentsRepository } from './assignments.repository.js';
import { type EmergencyEnd, type EmergencyPin, emergencyPinEnded } from './emergency-pin.js';
import { EmergencyPinEnds } from './emergency-pin-ends.js';
import { EmergencyPinsRepository } from './emergency-pins.repository.js';
import { EmergencyWaysRepository } from './emergency-ways.repository.js';
import type { AssignmentState } from './engine/assignment-state.js';
import { inOrder, NewWays } from './new-ways.js';
import type { Rollout } from './rollout.js';
import { RolloutMoves } from './rollout-moves.js';
import { RolloutNudges } from './rollout-nudges.js';
import { RolloutsRepository } from './rollouts.repository.js';

/** Nodes that one transaction holds or plans anew. */
const AT_ONCE = 500;
/** They have nothing before them that an emergency pin could do without. */
const SETTLED: readonly AssignmentState[] = ['ok', 'skipped'];

/**
 * What an emergency pin does to other rollouts of its product, and what becomes of its own nodes while it decides. All of
 * it happens under the lock of the product, and may be done again: who is held already is not held twice.
 */
@Injectable()
export class EmergencyHolds {
  constructor(
    private readonly pins: EmergencyPinsRepository,
    private readonly ends: EmergencyPinEnds,
    private readonly ways: EmergencyWaysRepository,
    private readonly assignments: AssignmentsRepository,
    private readonly rollouts: RolloutsRepository,
    private readonly moves: RolloutMoves,
    private readonly newWays: NewWays,
    private readonly nudges: RolloutNudges,
  ) {}

  /** It decides from now on: what its nodes have not begun elsewhere waits, and so do their own pins. */
  async takeOver(tx: Tx, { id, clusterId }: Rollout): Promise<void> {
    await this.ways.pinsWait(tx, id);
    for (const otherId of await this.ways.heldRollouts(tx, id)) {
      const other = await this.rollouts.find(tx, clusterId, otherId);
      if (other !== null) await this.hold(tx, other);
    }
  }

  /** Takes from nodes that an emergency pin leads what they have not begun of this rollout. Whether there was anything to
   *  look for. */
  async hold(tx: Tx, rollout: Rollout): Promise<boolean> {
    if (!(await this.ways.concerns(tx, rollout))) return false;
    const take = async (
      direction: 'forward' | 'back',
      from: readonly AssignmentState[],
      to: AssignmentState,
    ) => {
      const ids = await this.ways.toHold(tx, rollout.id, direction, from, AT_ONCE);
      if (ids.length === 0) return;
      const where = sql`a.id = ANY(${ids}::uuid[])`;
      const moved = await this.assignments.move(tx, {
        ...{ rolloutId: rollout.id, direction, from, to, reason: 'emergency_pin', where },
      });
      this.moves.tell(
        tx,
        rollout,
        inOrder(moved, ids, ({ id }) => id),
        to,
      );
      this.rollouts.progressed(tx, rollout.id);
      if (ids.length === AT_ONCE) this.nudges.nudge(tx, rollout);
    };
    if (rollout.state === 'running' || rollout.state === 'paused') {
      await take('forward', ['planned', 'offered'], 'deferred');
      await this.ways.markHeld(tx, rollout);
    }
    // A way back stays open, so that nobody takes the rollback for stalled.
    await take('back', ['offered'], 'planned');
    if (rollout.state === 'rolling_back' && (await this.ways.holdsBack(tx, rollout.id)))
      this.rollouts.progressed(tx, rollout.id);
    return true;
  }

  /** Lets nodes go on that an emergency pin has held: from where they are now, which may be elsewhere. */
  async handBack(tx: Tx, rollout: Rollout, nodeIds: readonly string[]): Promise<void> {
    const free = await this.ways.noLongerHeld(tx, rollout.id, nodeIds);
    await this.newWays.plan(tx, rollout, 'deferred', free);
  }

  /** Nodes of an emergency pin that could not be led when it was made, and perhaps can be now. */
  async reconsider(tx: Tx, rollout: Rollout): Promise<void> {
    if (rollout.kind !== 'emergency' || !(await this.pins.leads(tx, rollout.id))) return;
    const nodeIds = await this.ways.toReconsider(tx, rollout, AT_ONCE);
    await this.newWays.plan(tx, rollout, 'skipped', nodeIds);
  }

  /** Ends the pin of the rollout where its time is over. */
  async endIfExpired(tx: Tx, rollout: Rollout): Promise<void> {
    if (rollout.kind !== 'emergency') return;
    const pin = await this.pins.ofRollout(tx, rollout.id);
    if (pin === null || pin.endedAt !== null || pin.expiresAt > tx.now) return;
    tx.audit(await this.finish(tx, pin, 'expired', null));
  }

  /** Ends those of the product whose time is over, so that their nodes are free for another one. */
  async endExpired(tx: Tx, clusterId: string, productId: string): Promise<void> {
    for (const pin of await this.pins.overdue(tx, clusterId, productId))
      tx.audit(await this.finish(tx, pin, 'expired', null));
  }

  /** Ends a pin, and its rollout with it: as succeeded, by the engine, where every node has arrived, and otherwise where it
   *  stands. What nodes have begun they finish. */
  async finish(tx: Tx, pin: EmergencyPin, because: EmergencyEnd, reason: string | null): Promise<AuditEvent> {
    const event = await this.ends.end(tx, pin, because, reason);
    const rollout = await this.rollouts.find(tx, pin.clusterId, pin.rolloutId);
    if (rollout === null) throw new Error('the rollout of the emergency pin is gone');
    const nodes = await this.pins.numbers(tx, [rollout.id]);
    const isDone =
      nodes.every(({ state }) => SETTLED.includes(state)) && nodes.some(({ state }) => state === 'ok');
    if (rollout.state === 'running' && isDone) this.nudges.nudge(tx, rollout);
    else if (['draft', 'pending_approval', 'approved', 'running', 'paused'].includes(rollout.state))
      tx.audit(
        await this.moves.enter(tx, rollout, 'cancelled', { rule: `emergency_pin_${because}`, reason: null }),
      );
    return event ?? emergencyPinEnded(pin, because, reason);
  }
}
