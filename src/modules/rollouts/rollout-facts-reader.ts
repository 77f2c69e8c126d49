import { Injectable } from '@nestjs/common';
import type { ReadTx } from '../../common/transaction/tx.js';
import { AssignmentCountsRepository } from './assignment-counts.repository.js';
import type { AssignmentNumbers } from './assignment-numbers.js';
import { EmergencyPinsRepository } from './emergency-pins.repository.js';
import { EmergencyWaysRepository } from './emergency-ways.repository.js';
import { NO_ASSIGNMENTS } from './engine/assignment-state.js';
import { isWindowOpen } from './engine/maintenance-window.js';
import type { RolloutFacts } from './engine/rollout-facts.js';
import type { PauseReason } from './engine/rollout-state.js';
import type { Rollout } from './rollout.js';
import { SlotsRepository } from './slots.repository.js';
import { type Wave, WavesRepository } from './waves.repository.js';

/** Where a rollout and its product stand, by numbers. */
export interface Standing {
  numbers: AssignmentNumbers;
  slots: RolloutFacts['slots'];
  waves: readonly Wave[];
}

/** Reads what decides about a rollout: three statements, sent at once, however many nodes it has. */
@Injectable()
export class RolloutFactsReader {
  constructor(
    private readonly waves: WavesRepository,
    private readonly numbers: AssignmentCountsRepository,
    private readonly slots: SlotsRepository,
    private readonly pins: EmergencyPinsRepository,
    private readonly ways: EmergencyWaysRepository,
  ) {}

  async standing(tx: ReadTx, rollout: Rollout): Promise<Standing> {
    const [numbers, slots, waves] = await Promise.all([
      this.numbers.read(tx, rollout.id),
      this.slots.held(tx, rollout),
      this.waves.list(tx, [rollout.id]),
    ]);
    return { numbers, slots, waves };
  }

  /** @param standing of the same moment, where it is known */
  async read(tx: ReadTx, rollout: Rollout, isBlocked: boolean, standing?: Standing): Promise<RolloutFacts> {
    const { strategy, state, stateReason, runningSince, lastProgressAt } = rollout;
    const { numbers, slots, waves } = standing ?? (await this.standing(tx, rollout));
    const { byWave, openBack, onBadVersion } = numbers;
    return {
      ...strategy,
      thresholds: strategy,
      state,
      pauseReason: state === 'paused' ? (stateReason as PauseReason) : null,
      now: tx.now,
      downgradePossible: rollout.downgradePossible,
      isBlocked,
      windowOpen: isWindowOpen(strategy.maintenanceWindows, tx.now),
      runningSince: runningSince ?? tx.now,
      lastProgressAt: lastProgressAt ?? tx.now,
      slots,
      leadsOn: rollout.kind === 'emergency' && (await this.pins.leads(tx, rollout.id)),
      held: numbers.count('forward', ['deferred']) === 0 ? [] : await this.ways.wavesHeld(tx, rollout.id),
      waves: waves.map((wave) => ({
        ...wave,
        isApproved: wave.approvedAt !== null,
        counts: byWave.get(wave.position) ?? NO_ASSIGNMENTS,
      })),
      openBack,
      onBadVersion,
    };
  }
}
