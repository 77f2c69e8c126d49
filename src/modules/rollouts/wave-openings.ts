import { Injectable } from '@nestjs/common';
import { raw, type Sql, sql } from '../../common/database/sql.js';
import type { Tx } from '../../common/transaction/tx.js';
import { AssignmentsRepository } from './assignments.repository.js';
import type { Portions } from './portions.js';
import type { Rollout } from './rollout.js';
import { RolloutMoves } from './rollout-moves.js';
import { RolloutNudges } from './rollout-nudges.js';
import { VersionPinsRepository } from './version-pins.repository.js';

/** Who is in a wave when it opens. */
@Injectable()
export class WaveOpenings {
  constructor(
    private readonly assignments: AssignmentsRepository,
    private readonly pins: VersionPinsRepository,
    private readonly moves: RolloutMoves,
    private readonly nudges: RolloutNudges,
  ) {}

  /** Who was fenced, or pinned to another version, since the plan was made is no part of it any more. Of some at a time:
   *  whether these were all. */
  async clear(
    tx: Tx,
    rollout: Rollout,
    wavePosition: number,
    { skipped: limit }: Portions,
  ): Promise<boolean> {
    const skip = async (reason: string, who: Sql) => {
      const moved = await this.assignments.move(tx, {
        rolloutId: rollout.id,
        direction: 'forward',
        from: ['planned'],
        to: 'skipped',
        reason,
        // Not a condition by itself: the planner joined by it, and with numbers that were out of date each with each.
        where: sql`a.wave_position = ${wavePosition} AND (a.node_id IN (${who})) IS TRUE`,
        limit,
      });
      this.moves.tell(tx, rollout, moved, 'skipped');
      return moved.length < limit;
    };
    const ofProduct = (alias: string) =>
      sql`${raw(alias)}.cluster_id = ${rollout.clusterId}::uuid AND ${raw(alias)}.product_id = ${rollout.productId}::uuid`;
    const fenced = sql`SELECT k.node_id FROM node_versions AS k WHERE ${ofProduct('k')} AND k.is_fenced`;
    const pinned = sql`
      SELECT v.node_id FROM version_pins AS v WHERE ${ofProduct('v')} AND v.version <> ${rollout.targetVersion}
         AND (v.expires_at IS NULL OR v.expires_at > ${tx.now})`;
    // On their way to where they are, or were, pinned: the same version, too, has one rollout that leads there.
    const led = this.pins.ledElsewhere(rollout);
    // Mostly there is nobody, which is cheaper to see than whether somebody is one of very many.
    const [found] = await tx.query<{ fenced: boolean; pinned: boolean; led: boolean }>(
      sql`SELECT EXISTS (${fenced}) AS fenced, EXISTS (${pinned}) AS pinned, EXISTS (${led}) AS led`,
    );
    // An emergency pin comes before those of nodes.
    const isBefore = rollout.kind === 'emergency';
    const areAll =
      (found?.fenced !== true || (await skip('fenced', fenced))) &&
      (isBefore || found?.pinned !== true || (await skip('pinned', pinned))) &&
      (isBefore || found?.led !== true || (await skip('pinned', led)));
    if (!areAll) this.nudges.nudge(tx, rollout);
    return areAll;
  }
}
