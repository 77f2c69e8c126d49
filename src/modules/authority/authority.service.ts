import { Injectable } from '@nestjs/common';
import { notFound } from '../../common/errors/domain-error.js';
import { Transactor } from '../../common/transaction/transactor.js';
import type { Tx } from '../../common/transaction/tx.js';
import { type Authority, requireKnownServer } from './authority.js';
import { AuthorityRepository, type GrantGround, type HeldCluster } from './authority.repository.js';

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
   * @throws unavailable where it is to be spread just after a promotion or a restore
   */
  async hold(tx: Tx, clusterId: string, keepAuthority: boolean): Promise<HeldCluster | null> {
    const held = await this.authorities.hold(tx, clusterId, keepAuthority);
    if (held !== null) requireKnownServer(held);
    return held;
  }

  /**
   * What a grant to a new owner stands on: state, term and hold, unchanged until the transaction ends, so that no term
   * rises between the look and the grant. After the lock that the grant waits for, since the hold is read here.
   * @throws not_found; unavailable just after a promotion or a restore
   */
  async holdForGrant(tx: Tx, clusterId: string): Promise<Omit<GrantGround, 'isServerKnown'>> {
    const ground = await this.authorities.holdForGrant(tx, clusterId);
    if (ground === null) throw notFound('not_found', 'There is no such cluster.');
    requireKnownServer(ground);
    const { state, term, takeoversHeldUntil, takeoversHeldFor } = ground;
    return { state, term, takeoversHeldUntil, takeoversHeldFor };
  }

  /** @throws not_found */
  async get(clusterId: string): Promise<Authority> {
    const [authority] = await this.transactor.read((tx) => this.authorities.list(tx, [clusterId]));
    if (authority === undefined) throw notFound('not_found', 'There is no such cluster.');
    return authority;
  }
}
