import { Injectable } from '@nestjs/common';
import type { ReadTx } from '../../common/transaction/tx.js';
import { JoinRequestsRepository } from './join-requests.repository.js';

/** What other modules ask about enrollment. */
@Injectable()
export class EnrollmentReadModel {
  constructor(private readonly requests: JoinRequestsRepository) {}

  /** How many join requests of these clusters wait for a decision, by cluster id; where none does, it is not in the map. */
  countPending(tx: ReadTx, clusterIds: readonly string[]): Promise<Map<string, number>> {
    return this.requests.countPending(tx, clusterIds);
  }
}
