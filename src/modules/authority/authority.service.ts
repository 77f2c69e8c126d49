import { Injectable } from '@nestjs/common';
import { notFound } from '../../common/errors/domain-error.js';
import { Transactor } from '../../common/transaction/transactor.js';
import type { Tx } from '../../common/transaction/tx.js';
import type { Authority } from './authority.js';
import { AuthorityRepository, type HeldCluster } from './authority.repository.js';

/** Who the authority of a new cluster lies with. */
const CONTROL_PLANE = 'control-plane';

@Injectable()
export class AuthorityService {
  constructor(
    private readonly transactor: Transactor,
    private readonly authorities: AuthorityRepository,
  ) {}

  /** Gives a new cluster its authority, in the first term. */
  establish(tx: Tx, clusterId: string): Promise<Authority> {
    return this.authorities.insert(tx, clusterId, CONTROL_PLANE);
  }

  /**
   * Whether the cluster takes changes, held until the transaction ends: for calls whose path names no cluster, which
   * the gate therefore does not see. @param keepAuthority hold the authority too: trust is to be spread
   */
  hold(tx: Tx, clusterId: string, keepAuthority: boolean): Promise<HeldCluster | null> {
    return this.authorities.hold(tx, clusterId, keepAuthority);
  }

  /** @throws not_found */
  async get(clusterId: string): Promise<Authority> {
    const [authority] = await this.transactor.read((tx) => this.authorities.list(tx, [clusterId]));
    if (authority === undefined) throw notFound('not_found', 'There is no such cluster.');
    return authority;
  }
}
