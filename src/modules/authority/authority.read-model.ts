import { Injectable } from '@nestjs/common';
import type { ReadTx } from '../../common/transaction/tx.js';
import type { Authority } from './authority.js';
import { AuthorityRepository } from './authority.repository.js';

/** The authority of clusters, for whoever needs it inside a transaction. */
@Injectable()
export class AuthorityReadModel {
  constructor(private readonly authorities: AuthorityRepository) {}

  /** The authorities of these clusters, by cluster id. */
  async byCluster(tx: ReadTx, clusterIds: readonly string[]): Promise<Map<string, Authority>> {
    const rows = await this.authorities.list(tx, clusterIds);
    return new Map(rows.map((row) => [row.clusterId, row]));
  }
}
