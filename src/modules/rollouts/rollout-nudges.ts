import { Injectable } from '@nestjs/common';
import { Jobs } from '../../common/jobs/jobs.js';
import type { Tx } from '../../common/transaction/tx.js';
import type { Rollout } from './rollout.js';

/** The job that takes rollouts forward; a nudge names one as `<cluster>/<rollout>`. */
export const TICK_JOB = { queue: 'rollouts', name: 'rollout-tick' } as const;

/** The job that has VPN leases handed over; a nudge names a rollout likewise. */
export const HANDOVER_JOB = { queue: 'rollouts', name: 'lease-handovers' } as const;

/** Asks for a tick of a rollout as soon as what calls for it is committed. */
@Injectable()
export class RolloutNudges {
  constructor(private readonly jobs: Jobs) {}

  nudge(tx: Tx, rollout: Pick<Rollout, 'clusterId' | 'id'>): void {
    this.enqueue(tx, TICK_JOB, rollout);
  }

  /** Has the leases of nodes handed over that wait to go out of service. */
  handOverLeases(tx: Tx, rollout: Pick<Rollout, 'clusterId' | 'id'>): void {
    this.enqueue(tx, HANDOVER_JOB, rollout);
  }

  private enqueue(
    tx: Tx,
    { queue, name }: { queue: string; name: string },
    { clusterId, id }: Pick<Rollout, 'clusterId' | 'id'>,
  ): void {
    tx.afterCommit(() => void this.jobs.enqueue(queue, name, `${clusterId}/${id}`));
  }
}
