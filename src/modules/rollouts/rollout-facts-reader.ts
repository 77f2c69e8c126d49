import { Injectable } from '@nestjs/common';
import type { ReadTx } from '../../common/transaction/tx.js';
import { AssignmentCountsRepository } from './assignment-counts.repository.js';
import { type AssignmentCounts, type AssignmentState, NO_ASSIGNMENTS } from './engine/assignment-state.js';
import { isWindowOpen } from './engine/maintenance-window.js';
import type { RolloutFacts } from './engine/rollout-facts.js';
import type { Rollout } from './rollout.js';
import { SlotsRepository } from './slots.repository.js';
import { WavesRepository } from './waves.repository.js';

/** Reads what decides about a rollout: a handful of statements, however many nodes it has. */
@Injectable()
export class RolloutFactsReader {
  constructor(
    private readonly waves: WavesRepository,
    private readonly numbers: AssignmentCountsRepository,
    private readonly slots: SlotsRepository,
  ) {}

  async read(tx: ReadTx, rollout: Rollout, isBlocked: boolean): Promise<RolloutFacts> {
    const { strategy, state, runningSince, lastProgressAt } = rollout;
    const waves = await this.waves.list(tx, [rollout.id]);
    const counts = await this.numbers.forward(tx, [rollout.id]);
    const byWave = countsByWave(counts);
    return {
      ...strategy,
      thresholds: strategy,
      state,
      now: tx.now,
      downgradePossible: rollout.downgradePossible,
      isBlocked,
      windowOpen: isWindowOpen(strategy.maintenanceWindows, tx.now),
      runningSince: runningSince ?? tx.now,
      lastProgressAt: lastProgressAt ?? tx.now,
      slots: await this.slots.held(tx, rollout),
      waves: waves.map((wave) => ({
        ...wave,
        isApproved: wave.approvedAt !== null,
        counts: byWave.get(wave.position) ?? NO_ASSIGNMENTS,
      })),
      ...(await this.numbers.returning(tx, rollout.id)),
    };
  }
}

/** Of one rollout; nodes in no wave are left out. */
export function countsByWave(
  rows: readonly { wavePosition: number | null; state: AssignmentState; nodes: number }[],
): Map<number, AssignmentCounts> {
  const byWave = new Map<number, Record<AssignmentState, number>>();
  for (const { wavePosition, state, nodes } of rows) {
    if (wavePosition === null) continue;
    const counts = byWave.get(wavePosition) ?? { ...NO_ASSIGNMENTS };
    counts[state] += nodes;
    byWave.set(wavePosition, counts);
  }
  return byWave;
}
