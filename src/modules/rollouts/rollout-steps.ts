import { Inject, Injectable } from '@nestjs/common';
import type { Tx } from '../../common/transaction/tx.js';
import { AssignmentCountsRepository } from './assignment-counts.repository.js';
import { DecisionsRepository } from './decisions.repository.js';
import { nextStep } from './engine/evaluation.js';
import type { RolloutFacts, Step } from './engine/rollout-facts.js';
import { ROLLOUT_RULES, type Rules } from './engine/rules.js';
import type { HeldRollout } from './held-rollout.js';
import type { Portions } from './portions.js';
import { type Rollout, waveMoved } from './rollout.js';
import { RolloutFactsReader, type Standing } from './rollout-facts-reader.js';
import { RolloutMoves } from './rollout-moves.js';
import { RolloutsRepository } from './rollouts.repository.js';
import { WaveOpenings } from './wave-openings.js';
import { WavesRepository } from './waves.repository.js';

/** Where a rollout has come to. */
export interface Reached {
  rollout: Rollout;
  /** null: something has changed since anybody looked. */
  standing: Standing | null;
}

/** Takes the steps of rollouts and of their waves that their numbers and the time call for, and writes down why. */
@Injectable()
export class RolloutSteps {
  constructor(
    private readonly rollouts: RolloutsRepository,
    private readonly waves: WavesRepository,
    private readonly numbers: AssignmentCountsRepository,
    private readonly decisions: DecisionsRepository,
    private readonly moves: RolloutMoves,
    private readonly facts: RolloutFactsReader,
    private readonly openings: WaveOpenings,
    @Inject(ROLLOUT_RULES) private readonly rules: Rules,
  ) {}

  /** One after the other, until there is none.
   *  @param seen where it stands before the first, where that is known */
  async take(tx: Tx, held: HeldRollout, seen: Standing | null, portions: Portions): Promise<Reached> {
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
      if (!(await this.takeOne(tx, rollout, step, facts, portions))) return { rollout, standing: null };
      rollout = (await this.rollouts.find(tx, rollout.clusterId, rollout.id)) ?? rollout;
    }
  }

  /** Whether nothing waits any more for a way forward that has been given up. */
  async finishStopping(tx: Tx, rollout: Rollout, portions: Portions): Promise<boolean> {
    const { waiting } = await this.numbers.read(tx, rollout.id);
    return waiting === 0 || this.moves.cancelWaiting(tx, rollout, portions);
  }

  /** false: it needs more than one transaction, and was only prepared. */
  private async takeOne(
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
