import { Inject, Injectable } from '@nestjs/common';
import type { Sql } from '../../common/database/sql.js';
import type { Tx } from '../../common/transaction/tx.js';
import type { Moved } from './assignments.repository.js';
import { isWindowOpen } from './engine/maintenance-window.js';
import { ROLLOUT_RULES, type Rules } from './engine/rules.js';
import type { HeldRollout } from './held-rollout.js';
import { LeaseCare } from './lease-care.js';
import { type Course, RolloutCourses } from './rollout-courses.js';
import { RolloutMoves } from './rollout-moves.js';
import { RolloutNudges } from './rollout-nudges.js';
import { RolloutsRepository } from './rollouts.repository.js';
import { SlotsRepository } from './slots.repository.js';

/** Nodes whose snapshots one transaction changes: each is composed and numbered before the commit, under locks. */
const AT_ONCE = 500;
/** Nodes that are looked at beyond those for which slots are free: some in front may wait for their leases. */
const BEHIND_WAITING = 100;

type Ready = Awaited<ReturnType<SlotsRepository['ready']>>;

/** Lets nodes go out of service that have prepared, as many as may. All of it under the lock of the product. */
@Injectable()
export class SlotGrants {
  /** Rollouts of which all slots were taken when this process last looked: a guess, on which nothing rests. */
  private readonly full = new Set<string>();

  constructor(
    private readonly slots: SlotsRepository,
    private readonly leases: LeaseCare,
    private readonly courses: RolloutCourses,
    private readonly rollouts: RolloutsRepository,
    private readonly moves: RolloutMoves,
    private readonly nudges: RolloutNudges,
    @Inject(ROLLOUT_RULES) private readonly rules: Rules,
  ) {}

  /** To those that a rollout leads now. @returns those that may go */
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

  /** @param taken slots. @param known who is ready, where that is known, and perhaps more of them than are looked at */
  async give(
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

  /** Nodes that have prepared, as many as may go if so many slots are free and some behind them. */
  private ready(tx: Tx, { rollout, usableReleaseIds }: HeldRollout, { direction }: Course, free: number) {
    const isBound = (nodeId: Sql) => this.leases.isBound(rollout, nodeId);
    const among = Math.min(free, AT_ONCE) + BEHIND_WAITING;
    return this.slots.ready(tx, rollout.id, direction, usableReleaseIds, isBound, among);
  }
}
