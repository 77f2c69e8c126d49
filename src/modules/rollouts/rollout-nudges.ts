import { Injectable } from '@nestjs/common';
import { Jobs } from '../../common/jobs/jobs.js';
import type { Tx } from '../../common/transaction/tx.js';
import type { Rollout } from './rollout.js';

/** The job that takes rollouts forward; a nudge names one as `<cluster>/<rollout>`. */
export const TICK_JOB = { queue: 'rollouts', name: 'rollout-tick' } as const;

/** Asks for a tick of a rollout as soon as what calls for it is committed. */
@Injectable()
export class RolloutNudges {
  constructor(private readonly jobs: Jobs) {}

  nudge(tx: Tx, { clusterId, id }: Pick<Rollout, 'clusterId' | 'id'>): void {
    const { queue, name } = TICK_JOB;
    tx.afterCommit(() => void this.jobs.enqueue(queue, name, `${clusterId}/${id}`));
  }
}
