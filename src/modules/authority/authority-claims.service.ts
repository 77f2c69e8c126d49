import { Injectable } from '@nestjs/common';
import { systemActor } from '../../common/request/actor.js';
import { Transactor } from '../../common/transaction/transactor.js';
import { type AuthorityClaim, isClaim, judgeClaim, termClaimed } from './authority-claim.js';
import { AuthorityClaimsRepository } from './authority-claims.repository.js';
import { TermsRepository } from './terms.repository.js';
import { TermsService } from './terms.service.js';

/**
 * Takes the word of nodes that have seen a later term or token than this database knows of: the sign of a volume that
 * was restored in place, which nothing else shows. A node may also lie, so that each claim counts for one term at most.
 */
@Injectable()
export class AuthorityClaims {
  /** One claim of a cluster at a time: after a restore all of its nodes come with the same one. */
  private readonly underWay = new Map<string, Promise<unknown>>();

  constructor(
    private readonly transactor: Transactor,
    private readonly claims: AuthorityClaimsRepository,
    private readonly authorities: TermsRepository,
    private readonly terms: TermsService,
  ) {}

  /**
   * Notes the claim and raises the term where that is due, in a transaction of its own and as the service: to be called
   * before the transaction in which the caller decides, and outside of any. Cheap for what turns out to be no claim.
   *
   * The term may still be at or below the claimed one afterwards. A caller that would hand out a number which is not
   * above the claimed one refuses instead.
   */
  async claimed(claim: AuthorityClaim): Promise<void> {
    const { clusterId } = claim;
    for (let other = this.underWay.get(clusterId); other !== undefined; other = this.underWay.get(clusterId))
      await other.catch(() => undefined);
    const taking = this.take(claim).finally(() => this.underWay.delete(clusterId));
    this.underWay.set(clusterId, taking);
    await taking;
  }

  private async take(claim: AuthorityClaim): Promise<void> {
    const known = await this.transactor.read((tx) => this.claims.ground(tx, claim));
    if (known === null || !isClaim(claim, known.term)) return;
    await this.transactor.observe(systemActor('authority'), async (tx) => {
      await this.authorities.lock(tx, [claim.clusterId]);
      const ground = await this.claims.ground(tx, claim);
      if (ground === null) return { result: undefined };
      const verdict = judgeClaim(claim, ground, await tx.clock());
      if (!verdict.notes) return { result: undefined };
      await this.claims.remember(tx, claim, verdict);
      const incident = termClaimed(claim, ground.term, verdict);
      if (!verdict.raises) return { result: undefined, events: [incident] };
      const reason = `Node ${claim.nodeId} has seen what is later than term ${ground.term} as this database knows it.`;
      const { events } = await this.terms.raise(tx, [claim.clusterId], {
        cause: 'claim',
        reason,
        holds: verdict.holds,
      });
      return { result: undefined, events: [incident, ...events] };
    });
  }
}
