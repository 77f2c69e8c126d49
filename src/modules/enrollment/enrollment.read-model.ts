import { Injectable } from '@nestjs/common';
import type { ReadTx } from '../../common/transaction/tx.js';
import { JoinRequestsRepository } from './join-requests.repository.js';

/** What other modules ask about enrollment. */
@Injectable()
export class EnrollmentReadModel {
  constructor(private readonly requests: JoinRequestsRepository) {}

  /** How many join requests of the cluster wait for a decision. */
  countPending(tx: ReadTx, clusterId: string): Promise<number> {
    return this.requests.countPending(tx, clusterId);
  }
}
