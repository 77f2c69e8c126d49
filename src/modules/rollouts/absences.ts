import { Injectable } from '@nestjs/common';
import { type Sql, sql } from '../../common/database/sql.js';
import type { ReadTx, Tx } from '../../common/transaction/tx.js';
import { MembershipsReadModel } from '../nodes/memberships.read-model.js';
import { AssignmentsRepository } from './assignments.repository.js';
import { EmergencyHolds } from './emergency-holds.js';
import { HAS_MOVED_SINCE } from './emergency-ways.repository.js';
import { DISRUPTIVE_STATES } from './engine/assignment-state.js';
import type { Portions } from './portions.js';
import type { Rollout } from './rollout.js';
import { RolloutMoves } from './rollout-moves.js';
import { RolloutNudges } from './rollout-nudges.js';
import { RolloutsRepository } from './rollouts.repository.js';

/** Nodes that come back together; where as many were away, others may stand behind them. */
const MANY = 500;

/** What becomes of nodes of which nothing is heard. All of it under the lock of the product. */
@Injectable()
export class Absences {
  constructor(
    private readonly assignments: AssignmentsRepository,
    private readonly rollouts: RolloutsRepository,
    private readonly members: MembershipsReadModel,
    private readonly moves: RolloutMoves,
    private readonly holds: EmergencyHolds,
    private readonly nudges: RolloutNudges,
  ) {}

  /** Nodes that were deferred and have been heard of since; some of them, where there are many. To be asked before the
   *  rollout is held: it costs more the more are away. */
  seenAgain(tx: ReadTx, clusterId: string, id: string): Promise<string[]> {
    return this.assignments.deferredBut(tx, id, this.isAway(clusterId), MANY);
  }

  /** Nodes that are out of service and have not been heard of for too long are lost. */
  async giveUpOnSilent(tx: Tx, rollout: Rollout): Promise<void> {
    const { nodeDeadlineSeconds } = rollout.strategy;
    const moved = await this.assignments.move(tx, {
      rolloutId: rollout.id,
      from: DISRUPTIVE_STATES,
      to: 'lost',
      reason: 'node_deadline',
      where: sql`greatest(a.state_changed_at, a.reported_at) < ${tx.now}::timestamptz - make_interval(secs => ${nodeDeadlineSeconds})`,
    });
    if (moved.length > 0) this.rollouts.progressed(tx, rollout.id);
    this.moves.tell(tx, rollout, moved, 'lost');
  }

  /** Leaves those for later who are away, of those whose turn comes next: who stands further behind is looked at when it
   *  comes. */
  async defer(tx: Tx, rollout: Rollout, { inFront: among }: Portions): Promise<void> {
    if (rollout.state !== 'running' && rollout.state !== 'paused') return;
    const gone = await this.assignments.moveInFront(tx, {
      rolloutId: rollout.id,
      direction: 'forward',
      from: ['planned', 'offered'],
      to: 'deferred',
      reason: 'offline',
      inOpenWaves: true,
      among,
      limit: 2 * MANY,
      where: this.isAway(rollout.clusterId),
    });
    if (gone.length > 0) this.rollouts.progressed(tx, rollout.id);
    this.moves.tell(tx, rollout, gone, 'deferred');
    if (gone.length > MANY) this.nudges.nudge(tx, rollout);
  }

  /** Takes up again who was left for later. */
  async takeBack(tx: Tx, rollout: Rollout, nodeIds: readonly string[]): Promise<void> {
    if (nodeIds.length === 0 || (rollout.state !== 'running' && rollout.state !== 'paused')) return;
    await this.holds.handBack(tx, rollout, nodeIds);
    const back = await this.assignments.move(tx, {
      rolloutId: rollout.id,
      direction: 'forward',
      from: ['deferred'],
      to: 'planned',
      where: sql`a.node_id = ANY(${[...nodeIds]}::uuid[]) AND a.state_reason IS DISTINCT FROM 'emergency_pin'
        AND NOT ${HAS_MOVED_SINCE}`,
    });
    if (back.length > 0) this.rollouts.progressed(tx, rollout.id);
    this.moves.tell(tx, rollout, back, 'planned');
  }

  private isAway(clusterId: string): Sql {
    return this.members.isAway(clusterId, sql`a.node_id`);
  }
}
