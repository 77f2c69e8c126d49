import { Injectable } from '@nestjs/common';
import type { Tx } from '../../common/transaction/tx.js';
import { Absences } from './absences.js';
import { EmergencyHolds } from './emergency-holds.js';
import type { HeldRollout } from './held-rollout.js';
import { Offers } from './offers.js';
import { AT_LENGTH, type Portions } from './portions.js';
import type { Rollout } from './rollout.js';
import { RolloutCourses } from './rollout-courses.js';
import { RolloutFactsReader } from './rollout-facts-reader.js';
import { RolloutGoals } from './rollout-goals.js';
import { RolloutMoves } from './rollout-moves.js';
import { type Reached, RolloutSteps } from './rollout-steps.js';
import { RolloutsRepository } from './rollouts.repository.js';
import { SlotGrants } from './slot-grants.js';

/** How a rollout is taken forward. */
export interface Going {
  /** Nodes that were deferred and have been heard of since. */
  seenAgain?: readonly string[];
  portions?: Portions;
}

/**
 * Takes rollouts forward. Everything is decided under the lock of the product and committed together, so that it may be
 * killed anywhere, and so that two of it that meet do nothing twice. A tick of a large rollout is a few statements.
 */
@Injectable()
export class RolloutEngine {
  constructor(
    private readonly rollouts: RolloutsRepository,
    private readonly moves: RolloutMoves,
    private readonly facts: RolloutFactsReader,
    private readonly absences: Absences,
    private readonly courses: RolloutCourses,
    private readonly holds: EmergencyHolds,
    private readonly steps: RolloutSteps,
    private readonly offers: Offers,
    private readonly grants: SlotGrants,
    private readonly goals: RolloutGoals,
  ) {}

  /** Locks what a rollout's course depends on: first its releases, as a block takes its own, then the product.
   *  null: there is no such rollout.
   *  @param waits false: the product is held already. A release of which something is being decided, and to which the
   *  rollout leads only since then, is left to the next tick: whoever decides may be waiting for the product */
  async hold(
    tx: Tx,
    clusterId: string,
    id: string,
    { waits = true }: { waits?: boolean } = {},
  ): Promise<HeldRollout | null> {
    const [{ usable, unusable }, locked] = await Promise.all([
      this.goals.hold(tx, { clusterId, id }, { waits }),
      this.rollouts.lock(tx, clusterId, id),
    ]);
    return locked === null ? null : { ...locked, usableReleaseIds: usable, unusableReleaseIds: unusable };
  }

  /** Everything that is due now, as far as one transaction goes; for the rest it asks for a tick. */
  async advance(
    tx: Tx,
    held: HeldRollout,
    { seenAgain = [], portions = AT_LENGTH }: Going = {},
  ): Promise<Rollout> {
    const { rollout } = held;
    if (rollout.state === 'cancelled') {
      await this.steps.finishStopping(tx, rollout, portions);
      await this.moves.leadBack(tx, rollout, portions);
      await this.holds.hold(tx, rollout);
      return this.leadOn(tx, held, { rollout, standing: null }, portions);
    }
    if (
      !['running', 'paused', 'rolling_back', 'succeeded', 'succeeded_with_deferred'].includes(rollout.state)
    ) {
      await this.moves.withdraw(tx, rollout, held.unusableReleaseIds, portions);
      return rollout;
    }
    await Promise.all([
      this.absences.giveUpOnSilent(tx, rollout),
      this.absences.defer(tx, rollout, portions),
    ]);
    await this.absences.takeBack(tx, rollout, seenAgain);
    if (rollout.finishedAt !== null) {
      await this.moves.noteGood(tx, rollout, portions);
      await this.moves.leadBack(tx, rollout, portions);
    }
    const isUnderWay = rollout.state === 'running' || rollout.state === 'paused';
    const [isConcerned, standing] = await Promise.all([
      this.holds.hold(tx, rollout),
      isUnderWay ? this.facts.standing(tx, rollout) : null,
    ]);
    await this.holds.reconsider(tx, rollout);
    // Again: whom it has taken back since is progress.
    const isOlder = isConcerned || seenAgain.length > 0;
    const current = isOlder ? await this.rollouts.find(tx, rollout.clusterId, rollout.id) : null;
    const next = { ...held, rollout: current ?? rollout };
    // What was held or planned anew meanwhile is not in the numbers.
    const seen = isConcerned || rollout.kind === 'emergency' ? null : standing;
    return this.leadOn(tx, next, await this.steps.take(tx, next, seen, portions), portions);
  }

  private async leadOn(
    tx: Tx,
    held: HeldRollout,
    { rollout, standing }: Reached,
    portions: Portions,
  ): Promise<Rollout> {
    // Whatever else it does with its nodes: nobody goes on preparing what is blocked.
    const isOlder = await this.moves.withdraw(tx, rollout, held.unusableReleaseIds, portions);
    const hasTurned = rollout.state === 'rolling_back' && held.rollout.state !== 'rolling_back';
    const isPlanning = hasTurned || held.rollout.waysBackAfter !== null;
    const usableReleaseIds = isPlanning ? await this.goals.added(tx, rollout) : held.usableReleaseIds;
    const course = usableReleaseIds.length === 0 ? null : await this.courses.of(tx, rollout);
    if (course === null) return rollout;
    const now = (isOlder ? null : standing) ?? (await this.facts.standing(tx, rollout));
    const next = { ...held, rollout, usableReleaseIds };
    // Of what was held, not of where it leads.
    const isLeaving = course.direction === 'back' && !held.usableReleaseIds.includes(rollout.releaseId);
    const offered = await this.offers.offer(tx, next, course, now, { isLeaving, looked: portions.looked });
    // What was offered now may have been prepared before.
    if (offered + now.numbers.count(course.direction, ['offered']) > 0)
      await this.grants.give(tx, next, course, now.slots.held);
    return rollout;
  }
}
