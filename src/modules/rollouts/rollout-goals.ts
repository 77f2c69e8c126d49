import { Injectable } from '@nestjs/common';
import type { Tx } from '../../common/transaction/tx.js';
import { ReleasesReadModel } from '../releases/releases.read-model.js';
import { AssignmentCountsRepository } from './assignment-counts.repository.js';
import type { Rollout } from './rollout.js';

/** The releases to which rollouts lead. */
@Injectable()
export class RolloutGoals {
  constructor(
    private readonly numbers: AssignmentCountsRepository,
    private readonly releases: ReleasesReadModel,
  ) {}

  /** Sees to it that none that may be installed is blocked before the commit.
   *  @param waits false: one of which something is being decided is left out */
  hold(
    tx: Tx,
    { clusterId, id }: Pick<Rollout, 'clusterId' | 'id'>,
    { waits }: { waits: boolean },
  ): Promise<{ usable: string[]; unusable: string[] }> {
    return this.releases.holdAll(tx, this.numbers.releasesOf(clusterId, id), { waits });
  }

  /** Those that may be installed, since ways have been planned. They come after the lock that is held: one of which
   *  something is being decided is left to the next tick. */
  async added(tx: Tx, rollout: Pick<Rollout, 'clusterId' | 'id'>): Promise<string[]> {
    return (await this.hold(tx, rollout, { waits: false })).usable;
  }
}
