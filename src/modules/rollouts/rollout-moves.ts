import { Injectable } from '@nestjs/common';
import type { AuditEvent } from '../../common/audit/audit-event.js';
import { sql } from '../../common/database/sql.js';
import type { Tx } from '../../common/transaction/tx.js';
import { phaseOf } from './assignment.js';
import { AssignmentCountsRepository } from './assignment-counts.repository.js';
import { AssignmentsRepository, type Moved } from './assignments.repository.js';
import { IS_LEFT_BEHIND } from './assignments.sql.js';
import { DecisionsRepository } from './decisions.repository.js';
import { EmergencyPinEnds } from './emergency-pin-ends.js';
import type { AssignmentState } from './engine/assignment-state.js';
import { isUnfinished, type RolloutState } from './engine/rollout-state.js';
import { NodeVersionsRepository } from './node-versions.repository.js';
import { AT_LENGTH, type Portions } from './portions.js';
import { about, BEFORE_ALL, type Rollout, rolloutMoved, waveMoved } from './rollout.js';
import { RolloutNudges } from './rollout-nudges.js';
import { RolloutsRepository } from './rollouts.repository.js';
import { ReleasesUnderWayChanged } from './update-events.js';
import { WavesRepository } from './waves.repository.js';
import { WaysBack } from './ways-back.js';

/** Node ids that one event names; the rest stands in others. */
const NODES_PER_EVENT = 500;

/** Why a rollout changes its state. */
export interface Cause {
  rule: string;
  reason: string | null;
  wave?: string | null;
  inputs?: object;
}

/** What comes with a change of a rollout's state, under the lock of its product. */
@Injectable()
export class RolloutMoves {
  constructor(
    private readonly rollouts: RolloutsRepository,
    private readonly waves: WavesRepository,
    private readonly assignments: AssignmentsRepository,
    private readonly numbers: AssignmentCountsRepository,
    private readonly nudges: RolloutNudges,
    private readonly decisions: DecisionsRepository,
    private readonly nodeVersions: NodeVersionsRepository,
    private readonly waysBack: WaysBack,
    private readonly emergencies: EmergencyPinEnds,
  ) {}

  /** Moves the rollout, writes down why, and does to its waves and nodes what the new state asks for. Returns the event.
   *  @throws conflict `rollout_in_progress` */
  async enter(tx: Tx, rollout: Rollout, to: RolloutState, cause: Cause): Promise<AuditEvent> {
    const { rule, reason, wave = null, inputs = {} } = cause;
    const decision = { rule, wave, fromState: rollout.state, toState: to, reason, inputs };
    const decisionId = await this.decisions.add(tx, tx.actor, rollout.id, decision);
    if (rollout.state === 'running' && rollout.runningSince !== null)
      await this.waves.stopSoaking(tx, rollout.id, rollout.runningSince);
    await this.rollouts.move(tx, rollout, {
      state: to,
      stateReason: reason,
      pausedByDecisionId: to === 'paused' ? decisionId : null,
    });
    if (rollout.kind === 'emergency') await this.emergencies.follow(tx, rollout.id, to, rule);
    if (to === 'rolling_back' || to === 'cancelled') await this.stopForward(tx, rollout);
    if (to === 'rolling_back') await this.leadBack(tx, { ...rollout, waysBackAfter: BEFORE_ALL });
    if (to === 'rolling_back' || isUnfinished(to) !== isUnfinished(rollout.state))
      await tx.raise(new ReleasesUnderWayChanged(rollout.clusterId));
    if (to === 'succeeded' || to === 'succeeded_with_deferred')
      await this.noteGood(tx, { ...rollout, goodAfter: BEFORE_ALL });
    return rolloutMoved(rollout, to, reason);
  }

  /** Takes back what nodes have not begun; what they have begun they finish. */
  private async stopForward(tx: Tx, rollout: Rollout): Promise<void> {
    for (const { name, state } of await this.waves.halt(tx, rollout.id))
      tx.audit(waveMoved(rollout, name, state, 'halted'));
    await this.cancelWaiting(tx, rollout);
  }

  /** Takes it back from as many nodes as one transaction bears, and asks for a tick where there are more. Whether that was
   *  all. */
  async cancelWaiting(
    tx: Tx,
    rollout: Rollout,
    { withdrawn, cancelled }: Portions = AT_LENGTH,
  ): Promise<boolean> {
    const cancel = async (from: readonly AssignmentState[], limit: number) => {
      const moved = await this.assignments.moveInFront(tx, {
        ...{ rolloutId: rollout.id, direction: 'forward', from, to: 'cancelled', inOpenWaves: false, limit },
      });
      this.tell(tx, rollout, moved, 'cancelled');
    };
    await cancel(['offered'], withdrawn);
    await cancel(['planned', 'deferred'], cancelled);
    const isAll = (await this.numbers.read(tx, rollout.id)).waiting === 0;
    if (!isAll) this.nudges.nudge(tx, rollout);
    return isAll;
  }

  /** Takes back what nodes were offered of releases that may not be installed any more: from as many as one transaction
   *  bears, and asks for a tick where there may be more. Whether there was anything. */
  async withdraw(
    tx: Tx,
    rollout: Rollout,
    releaseIds: readonly string[],
    { withdrawn: limit }: Portions,
  ): Promise<boolean> {
    if (releaseIds.length === 0) return false;
    const moved = await this.assignments.move(tx, {
      ...{ rolloutId: rollout.id, from: ['offered'], to: 'planned', limit },
      where: sql`a.to_release_id = ANY(${[...releaseIds]}::uuid[])`,
    });
    this.tell(tx, rollout, moved, 'planned');
    if (moved.length === limit) this.nudges.nudge(tx, rollout);
    return moved.length > 0;
  }

  /** The nodes of a rollout that stays over leave its version all the same. */
  async beginRetreat(tx: Tx, rollout: Rollout): Promise<void> {
    await this.rollouts.beginWindingDown(tx, rollout.id);
    await this.rollouts.planBackAfter(tx, rollout.id, BEFORE_ALL);
    await this.leadBack(tx, { ...rollout, waysBackAfter: BEFORE_ALL });
  }

  /** Plans the way back to the version that it had, of each node that has not gone on to another one since: of some more
   *  at a time, and asks for a tick where there are others. Whether all have been planned. */
  async leadBack(tx: Tx, rollout: Rollout, { waysBack }: Portions = AT_LENGTH): Promise<boolean> {
    if (rollout.waysBackAfter === null) return true;
    const reached = await this.assignments.reached(tx, rollout.id, rollout.waysBackAfter, waysBack);
    const nodeIds = reached.map(({ nodeId }) => nodeId);
    const gone = reached.length === 0 ? new Set() : await this.letGoWhoWentOn(tx, rollout, nodeIds);
    const still = reached.filter(({ nodeId }) => !gone.has(nodeId));
    await this.assignments.insert(tx, rollout, await this.waysBack.of(tx, rollout, still));
    const last = reached.length < waysBack ? null : (reached.at(-1)?.nodeId ?? null);
    await this.rollouts.planBackAfter(tx, rollout.id, last);
    if (reached.length > 0) this.rollouts.progressed(tx, rollout.id);
    if (last !== null) this.nudges.nudge(tx, rollout);
    return last === null;
  }

  /** Notes the version that was proved as the last good one of its nodes: of some more at a time, likewise. */
  async noteGood(tx: Tx, rollout: Rollout, { good }: Portions = AT_LENGTH): Promise<void> {
    if (rollout.goodAfter === null) return;
    const last = await this.nodeVersions.setGoodByRollout(tx, rollout.id, rollout.goodAfter, good);
    await this.rollouts.noteGoodAfter(tx, rollout.id, last);
    if (last !== null) this.nudges.nudge(tx, rollout);
  }

  /** Nodes have come to another version: nobody has to lead them back from the one that they had any more. */
  async endWaysBack(tx: Tx, arrivedBy: Rollout, nodeIds: readonly string[]): Promise<void> {
    for (const rolloutId of await this.assignments.waitingToLeadBack(tx, arrivedBy, nodeIds)) {
      const rollout = await this.rollouts.find(tx, arrivedBy.clusterId, rolloutId);
      if (rollout !== null) await this.letGoWhoWentOn(tx, rollout, nodeIds);
    }
  }

  /** @returns those of the nodes that have gone on */
  private async letGoWhoWentOn(tx: Tx, rollout: Rollout, among: readonly string[]): Promise<Set<string>> {
    const areAmong = (nodeIds: readonly string[]) => sql`a.node_id = ANY(${[...nodeIds]}::uuid[])`;
    const gone = await this.assignments.move(tx, {
      ...{ rolloutId: rollout.id, direction: 'forward', from: ['ok'], to: 'rolled_back', reason: 'moved_on' },
      where: sql`${areAmong(among)} AND ${IS_LEFT_BEHIND}`,
    });
    if (gone.length === 0) return new Set();
    this.tell(tx, rollout, gone, 'rolled_back');
    const nodeIds = gone.map(({ nodeId }) => nodeId);
    const over = await this.assignments.move(tx, {
      ...{ rolloutId: rollout.id, direction: 'back', from: ['planned'], to: 'cancelled', reason: 'moved_on' },
      where: areAmong(nodeIds),
    });
    this.tell(tx, rollout, over, 'cancelled');
    if (over.length > 0) this.rollouts.progressed(tx, rollout.id);
    return new Set(nodeIds);
  }

  /** Makes known that nodes have moved. The snapshots of those change that are told something else now. */
  tell(tx: Tx, rollout: Rollout, moved: readonly Omit<Moved, 'id'>[], state: AssignmentState): void {
    if (moved.length === 0) return;
    const nodeIds = moved.map(({ nodeId }) => nodeId);
    const told = moved.filter(({ from }) => phaseOf({ state: from }) !== phaseOf({ state }));
    if (told.length > 0)
      tx.touch(
        rollout.clusterId,
        told.map(({ nodeId }) => nodeId),
      );
    for (let start = 0; start < nodeIds.length; start += NODES_PER_EVENT) {
      const named = nodeIds.slice(start, start + NODES_PER_EVENT);
      const after = { state, nodeIds: named, nodes: named.length };
      tx.audit({ ...about(rollout), action: 'rollout.nodes_moved', before: null, after });
    }
  }
}
