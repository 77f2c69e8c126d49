import { Inject, Injectable } from '@nestjs/common';
import type { Sql } from '../../common/database/sql.js';
import type { Tx } from '../../common/transaction/tx.js';
import { Absences } from './absences.js';
import { AssignmentCountsRepository } from './assignment-counts.repository.js';
import type { Moved } from './assignments.repository.js';
import { DecisionsRepository } from './decisions.repository.js';
import { EmergencyHolds } from './emergency-holds.js';
import { nextStep } from './engine/evaluation.js';
import { isWindowOpen } from './engine/maintenance-window.js';
import type { RolloutFacts, Step } from './engine/rollout-facts.js';
import { ROLLOUT_RULES, type Rules } from './engine/rules.js';
import type { HeldRollout } from './held-rollout.js';
import { LeaseCare } from './lease-care.js';
import { Offers } from './offers.js';
import { AT_LENGTH, type Portions } from './portions.js';
import { type Rollout, waveMoved } from './rollout.js';
import { type Course, RolloutCourses } from './rollout-courses.js';
import { RolloutFactsReader, type Standing } from './rollout-facts-reader.js';
import { RolloutGoals } from './rollout-goals.js';
import { RolloutMoves } from './rollout-moves.js';
import { RolloutNudges } from './rollout-nudges.js';
import { RolloutsRepository } from './rollouts.repository.js';
import { SlotsRepository } from './slots.repository.js';
import { WaveOpenings } from './wave-openings.js';
import { WavesRepository } from './waves.repository.js';

/** Nodes whose snapshots one transaction changes: each is composed and numbered before the commit, under locks. */
const AT_ONCE = 500;
/** Nodes that are looked at beyond those for which slots are free: some in front may wait for their leases. */
const BEHIND_WAITING = 100;

/** How a rollout is taken forward. */
export interface Going {
  /** Nodes that were deferred and have been heard of since. */
  seenAgain?: readonly string[];
  portions?: Portions;
}

type Ready = Awaited<ReturnType<SlotsRepository['ready']>>;

/** Where a rollout has come to. */
interface Reached {
  rollout: Rollout;
  /** null: something has changed since anybody looked. */
  standing: Standing | null;
}

/**
 * Takes rollouts forward. Everything is decided under the lock of the product and committed together, so that it may be
 * killed anywhere, and so that two of it that meet do nothing twice. A tick of a large rollout is a few statements.
 */
@Injectable()
export class RolloutEngine {
  /** Rollouts of which all slots were taken when this process last looked: a guess, on which nothing rests. */
  private readonly full = new Set<string>();

  constructor(
    private readonly rollouts: RolloutsRepository,
    private readonly waves: WavesRepository,
    private readonly numbers: AssignmentCountsRepository,
    private readonly slots: SlotsRepository,
    private readonly leases: LeaseCare,
    private readonly decisions: DecisionsRepository,
    private readonly moves: RolloutMoves,
    private readonly nudges: RolloutNudges,
    private readonly facts: RolloutFactsReader,
    private readonly absences: Absences,
    private readonly openings: WaveOpenings,
    private readonly courses: RolloutCourses,
    private readonly holds: EmergencyHolds,
    private readonly offers: Offers,
    private readonly goals: RolloutGoals,
    @Inject(ROLLOUT_RULES) private readonly rules: Rules,
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
      await this.finishStopping(tx, rollout, portions);
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
    return this.leadOn(tx, next, await this.takeSteps(tx, next, seen, portions), portions);
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
      await this.give(tx, next, course, now.slots.held);
    return rollout;
  }

  /** Lets nodes that have prepared go out of service, as many as may. @returns those that may */
  async grant(tx: Tx, held: HeldRollout): Promise<readonly Moved[]> {
    const { rollout, usableReleaseIds } = held;
    const course = usableReleaseIds.length === 0 ? null : await this.courses.of(tx, rollout);
    if (course === null) return [];
    // At once where some were free lately; who asks in vain shall cost little.
    const [taken, ready] = await Promise.all([
      this.slots.count(tx, rollout),
      this.full.has(rollout.id) ? null : this.ready(tx, held, course, course.maxUnavailable),
    ]);
    return this.give(tx, held, course, taken, ready);
  }

  /** Nodes that have prepared, as many as may go if so many slots are free and some behind them. */
  private ready(tx: Tx, { rollout, usableReleaseIds }: HeldRollout, { direction }: Course, free: number) {
    const isBound = (nodeId: Sql) => this.leases.isBound(rollout, nodeId);
    const among = Math.min(free, AT_ONCE) + BEHIND_WAITING;
    return this.slots.ready(tx, rollout.id, direction, usableReleaseIds, isBound, among);
  }

  /** @param taken slots. @param known who is ready, where that is known, and perhaps more of them than are looked at */
  private async give(
    tx: Tx,
    held: HeldRollout,
    course: Course,
    taken: number,
    known: Ready | null = null,
  ): Promise<readonly Moved[]> {
    const { rollout } = held;
    const { direction, maxUnavailable } = course;
    const windowOpen = isWindowOpen(rollout.strategy.maintenanceWindows, tx.now);
    const grantable = { rolloutState: course.state, direction, isBlocked: false, windowOpen };
    if (!this.rules.mayGrant(grantable)) return [];
    const free = Math.min(this.rules.freeSlots(taken, maxUnavailable, direction), AT_ONCE);
    if (free === 0) {
      this.full.add(rollout.id);
      return [];
    }
    this.full.delete(rollout.id);
    const ready = (known ?? (await this.ready(tx, held, course, free))).slice(0, free + BEHIND_WAITING);
    const going = await this.leases.depart(tx, rollout, ready, free);
    if (going.length === 0) return [];
    const granted = this.slots.grant(tx, going);
    this.rollouts.progressed(tx, rollout.id);
    this.moves.tell(tx, rollout, granted, 'granted');
    if (granted.length === AT_ONCE) this.nudges.nudge(tx, rollout);
    return granted;
  }

  /** @param seen where it stands before the first step, where that is known */
  private async takeSteps(
    tx: Tx,
    held: HeldRollout,
    seen: Standing | null,
    portions: Portions,
  ): Promise<Reached> {
    let { rollout } = held;
    let known = seen;
    const isBlocked = !held.usableReleaseIds.includes(rollout.releaseId);
    for (;;) {
      if (!['running', 'paused', 'rolling_back'].includes(rollout.state)) return { rollout, standing: null };
      if (rollout.state === 'rolling_back') {
        const isStopped = await this.finishStopping(tx, rollout, portions);
        const isPlanned = await this.moves.leadBack(tx, rollout, portions);
        // Nobody is left out of what it comes to.
        if (!isStopped || !isPlanned) return { rollout, standing: null };
      }
      const standing = known ?? (await this.facts.standing(tx, rollout));
      known = null;
      const facts = await this.facts.read(tx, rollout, isBlocked, standing);
      const step = nextStep(facts, this.rules);
      if (step === null) {
        if (rollout.state === 'running' && !facts.windowOpen) this.rollouts.progressed(tx, rollout.id);
        return { rollout, standing };
      }
      if (!(await this.take(tx, rollout, step, facts, portions))) return { rollout, standing: null };
      rollout = (await this.rollouts.find(tx, rollout.clusterId, rollout.id)) ?? rollout;
    }
  }

  /** Whether nothing waits any more for a way forward that has been given up. */
  private async finishStopping(tx: Tx, rollout: Rollout, portions: Portions): Promise<boolean> {
    const { waiting } = await this.numbers.read(tx, rollout.id);
    return waiting === 0 || this.moves.cancelWaiting(tx, rollout, portions);
  }

  /** false: it needs more than one transaction, and was only prepared. */
  private async take(
    tx: Tx,
    rollout: Rollout,
    step: Step,
    { thresholds, slots }: RolloutFacts,
    portions: Portions,
  ): Promise<boolean> {
    const inputs = { thresholds, slots, evidence: step.evidence };
    if (step.kind === 'rollout') {
      const { rule, reason, wave } = step;
      tx.audit(await this.moves.enter(tx, rollout, step.to, { rule, reason, wave, inputs }));
      return true;
    }
    const wave = (await this.waves.list(tx, [rollout.id])).find(({ name }) => name === step.wave);
    if (step.to === 'active' && !(await this.openings.clear(tx, rollout, wave?.position ?? 0, portions)))
      return false;
    const fromState = wave?.state ?? 'pending';
    const decision = { rule: step.rule, wave: step.wave, fromState, toState: step.to, reason: null, inputs };
    await this.decisions.add(tx, tx.actor, rollout.id, decision);
    await this.waves.move(tx, rollout.id, step.wave, step.to);
    this.rollouts.progressed(tx, rollout.id);
    tx.audit(waveMoved(rollout, step.wave, fromState, step.to));
    return true;
  }
}
