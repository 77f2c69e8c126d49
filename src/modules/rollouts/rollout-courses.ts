import { Injectable } from '@nestjs/common';
import type { Tx } from '../../common/transaction/tx.js';
import { EmergencyPinsRepository } from './emergency-pins.repository.js';
import type { Direction } from './engine/assignment-state.js';
import type { Rollout } from './rollout.js';
import { RolloutsRepository } from './rollouts.repository.js';

/** Where a rollout leads its nodes now. */
export interface Course {
  direction: Direction;
  state: Rollout['state'];
  maxUnavailable: number;
}

/** Says where rollouts lead their nodes. */
@Injectable()
export class RolloutCourses {
  constructor(
    private readonly rollouts: RolloutsRepository,
    private readonly emergencies: EmergencyPinsRepository,
  ) {}

  /** null: nowhere. One that is over only leads away from a blocked version; it and the rollout of a pin go by as many nodes
   *  as the rollout beside them allows. That of an emergency pin leads as long as the pin decides, by the clock, whether or
   *  not its end has been written down. */
  async of(tx: Tx, rollout: Rollout): Promise<Course | null> {
    const { kind, state, strategy, clusterId, productId } = rollout;
    const isUnderWay = state === 'running' || state === 'paused' || state === 'rolling_back';
    if (kind === 'emergency' && (state === 'running' || state === 'paused'))
      return (await this.emergencies.leads(tx, rollout.id))
        ? { direction: 'forward', state, maxUnavailable: strategy.maxUnavailable }
        : null;
    const isOver = state === 'succeeded' || state === 'succeeded_with_deferred' || state === 'cancelled';
    if (!isUnderWay && !isOver) return null;
    const goesBeside = !isUnderWay || kind === 'pin';
    const beside = goesBeside ? await this.rollouts.unfinished(tx, clusterId, productId) : null;
    const maxUnavailable = (beside?.strategy ?? strategy).maxUnavailable;
    if (state === 'running' || state === 'paused') return { direction: 'forward', state, maxUnavailable };
    return { direction: 'back', state: 'rolling_back', maxUnavailable };
  }
}
