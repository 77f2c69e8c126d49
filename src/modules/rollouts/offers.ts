import { Injectable } from '@nestjs/common';
import { type Sql, sql } from '../../common/database/sql.js';
import type { Tx } from '../../common/transaction/tx.js';
import type { Moved } from './assignments.repository.js';
import { isHeld } from './emergency-coverage.js';
import { offerLimit } from './engine/slots.js';
import type { HeldRollout } from './held-rollout.js';
import { NewWays } from './new-ways.js';
import type { Portions } from './portions.js';
import type { Place, Rollout } from './rollout.js';
import type { Course } from './rollout-courses.js';
import type { Standing } from './rollout-facts-reader.js';
import { RolloutGoals } from './rollout-goals.js';
import { RolloutMoves } from './rollout-moves.js';
import { RolloutNudges } from './rollout-nudges.js';
import { RolloutsRepository } from './rollouts.repository.js';
import { VersionPinsRepository } from './version-pins.repository.js';
import { WaitingNodesRepository } from './waiting-nodes.repository.js';

/** Nodes whose snapshots one transaction changes: each is composed and numbered before the commit, under locks. */
const AT_ONCE = 500;

/** Who may be offered what. */
interface Offer {
  rollout: Rollout;
  direction: Course['direction'];
  usableReleaseIds: readonly string[];
  /** Nothing else keeps the node of `a`. */
  isFree: Sql;
  /** How many are looked at beyond those for whom there is room. */
  looked: number;
}

/** What came of a look at some nodes. */
interface Looked {
  moved: Moved[];
  /** Nobody is left among them who can go. */
  isDone: boolean;
  /** Where to look next; null: nobody stands behind. */
  next: Place | null;
}

/**
 * Offers nodes their ways. Looked at are those in front, and of those behind as many, each time from where the last look has
 * come to: so nobody who waits for something else holds up the others, and how long it takes depends on nobody's number. All
 * of it under the lock of the product.
 */
@Injectable()
export class Offers {
  constructor(
    private readonly waiting: WaitingNodesRepository,
    private readonly newWays: NewWays,
    private readonly pins: VersionPinsRepository,
    private readonly goals: RolloutGoals,
    private readonly rollouts: RolloutsRepository,
    private readonly moves: RolloutMoves,
    private readonly nudges: RolloutNudges,
  ) {}

  /** Returns to how many.
   *  @param isLeaving nodes are led away from a blocked version, where no pin keeps them */
  async offer(
    tx: Tx,
    { rollout, usableReleaseIds }: HeldRollout,
    { direction, state, maxUnavailable }: Course,
    { numbers, waves }: Standing,
    { isLeaving, looked }: { isLeaving: boolean; looked: Portions['looked'] },
  ): Promise<number> {
    const open = numbers.count(direction, ['offered']);
    const planned =
      direction === 'forward' ? numbers.plannedIn(waves) : numbers.count(direction, ['planned']);
    const limit = Math.min(offerLimit(maxUnavailable) - open, AT_ONCE, planned);
    if (state === 'paused' || limit <= 0) return 0;
    const isFree = this.isFree(tx, rollout, direction, isLeaving);
    const moved = await this.inTurn(tx, { rollout, direction, usableReleaseIds, isFree, looked }, limit);
    if (moved.length > 0) this.rollouts.progressed(tx, rollout.id);
    this.moves.tell(tx, rollout, moved, 'offered');
    if (moved.length === AT_ONCE) this.nudges.nudge(tx, rollout);
    return moved.length;
  }

  /** Of those in front, and where these are not enough, of those behind. */
  private async inTurn(tx: Tx, offer: Offer, limit: number): Promise<Moved[]> {
    const { rollout } = offer;
    const { moved, isDone, next } = await this.look(tx, offer, null, limit);
    if (!isDone) return moved;
    const behind =
      next === null ? null : await this.look(tx, offer, later(next, rollout.lookedTo), limit - moved.length);
    const lookedTo = behind?.next ?? null;
    if (!isSame(lookedTo, rollout.lookedTo)) this.rollouts.lookTo(tx, rollout.id, lookedTo);
    if (behind?.isDone && lookedTo !== null) this.nudges.nudge(tx, rollout);
    return [...moved, ...(behind?.moved ?? [])];
  }

  /** Of those who stand from there on: first who can go, then those who are elsewhere than where their ways were planned
   *  from, and are asked to go another one. */
  private async look(tx: Tx, offer: Offer, from: Place | null, limit: number): Promise<Looked> {
    const { rollout, direction, usableReleaseIds, isFree, looked } = offer;
    const isForward = direction === 'forward';
    const stretch = { rolloutId: rollout.id, direction, inOpenWaves: isForward, from, size: limit + looked };
    const isThere = isForward
      ? sql`NOT ${this.newWays.isElsewhere(rollout)}`
      : sql`EXISTS (SELECT 1 FROM rollout_assignments AS f WHERE f.rollout_id = a.rollout_id AND f.node_id = a.node_id
                       AND f.direction = 'forward' AND f.state = 'ok')`;
    const take = (releaseIds: readonly string[], most: number) => {
      const canGo = sql`a.to_release_id = ANY(${[...releaseIds]}::uuid[]) AND ${isFree} AND ${isThere}`;
      return this.waiting.offer(tx, stretch, canGo, most);
    };
    const moved = await take(usableReleaseIds, limit);
    if (moved.length === limit) return { moved, isDone: false, next: from };
    const anew = isForward ? await this.newWays.ofMovedNodes(tx, rollout, stretch, isFree, looked) : 0;
    if (anew > 0) moved.push(...(await take(await this.goals.added(tx, rollout), limit - moved.length)));
    if (moved.length === limit || anew === looked) return { moved, isDone: false, next: from };
    // Others have moved up: no more are passed over than were looked at.
    const size = stretch.size - moved.length - anew;
    return { moved, isDone: true, next: await this.waiting.end(tx, { ...stretch, size }) };
  }

  /** An emergency pin comes before that of a node, which comes before a rollback and a rollout; what a node is to leave
   *  behind before what it is to have. */
  private isFree(tx: Tx, rollout: Rollout, direction: Course['direction'], isLeaving: boolean): Sql {
    const goal = direction === 'forward' ? sql`${rollout.targetVersion}` : sql`a.to_version`;
    const isFirst = isLeaving || (rollout.kind === 'emergency' && direction === 'forward');
    const isKept = isFirst ? sql`false` : this.pins.keepsFrom(tx, goal);
    return sql`NOT ${isHeld(tx)} AND NOT ${isKept}
      AND NOT EXISTS (SELECT 1 FROM rollout_assignments AS o
        WHERE o.cluster_id = a.cluster_id AND o.product_id = a.product_id AND o.node_id = a.node_id AND o.id <> a.id
          AND o.state IN ('offered', 'granted', 'applying', 'health', 'lost') AND NOT o.is_written_off)`;
  }
}

function later(one: Place, other: Place | null): Place {
  if (other === null) return one;
  const isBehind =
    other.wavePosition === one.wavePosition ? other.place > one.place : other.wavePosition > one.wavePosition;
  return isBehind ? other : one;
}

function isSame(one: Place | null, other: Place | null): boolean {
  return one?.wavePosition === other?.wavePosition && one?.place === other?.place;
}
