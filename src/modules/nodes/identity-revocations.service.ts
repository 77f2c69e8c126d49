import { Injectable } from '@nestjs/common';
import type { AuditEvents } from '../../common/audit/audit-event.js';
import { notFound } from '../../common/errors/domain-error.js';
import type { Actor } from '../../common/request/actor.js';
import { Transactor } from '../../common/transaction/transactor.js';
import { IdentityRevocationsRepository } from './identity-revocations.repository.js';
import { IdentityRevoked } from './membership-events.js';
import { MembershipsRepository } from './memberships.repository.js';
import { MembershipsService, type Taking } from './memberships.service.js';
import type { NodeIdentityView } from './node-history.schema.js';
import { NodeHistoryService } from './node-history.service.js';
import { endingWith, identityRevoked, type NodeIdentity } from './node-identity.js';

/** Revokes single keys of nodes; see docs/adr/0030. */
@Injectable()
export class IdentityRevocationsService {
  constructor(
    private readonly transactor: Transactor,
    private readonly memberships: MembershipsRepository,
    private readonly members: MembershipsService,
    private readonly identities: IdentityRevocationsRepository,
    private readonly history: NodeHistoryService,
  ) {}

  /**
   * Ends one key of a member for ever: its tokens and certificates end with it. Where it was the key by which the node
   * is known, those that it had replaced end too: nothing can act for the member any more, and it is disabled. A repeat
   * changes nothing.
   * @throws not_found; conflict `role_minimum_violated` unless `force` is given
   */
  revoke(
    actor: Actor,
    clusterId: string,
    nodeId: string,
    identityId: string,
    { reason, force }: Taking & { reason: string },
  ): Promise<NodeIdentityView> {
    return this.transactor.mutate(actor, async (tx) => {
      // First the cluster, then its members: the order of whatever changes both.
      await this.memberships.lockEpoch(tx, clusterId);
      const member = await this.memberships.lock(tx, clusterId, nodeId);
      const all = member === null ? [] : await this.identities.list(tx, member);
      const identity = all.find(({ id }) => id === identityId);
      if (member === null || identity === undefined)
        throw notFound('not_found', 'The node has no such identity.');
      const [first, ...others] = endingWith(identity, all);
      if (first === undefined)
        return { result: await this.history.show(tx, clusterId, nodeId), unchanged: true };
      const identityIds = [first, ...others].map(({ id }) => id);
      await this.identities.revoke(tx, identityIds);
      const epoch = await this.memberships.raiseEpoch(tx, clusterId);
      tx.touch(clusterId, [nodeId]);
      await tx.raise(new IdentityRevoked(clusterId, nodeId, { identityId, identityIds, reason }));
      const event = (each: NodeIdentity) => identityRevoked(member, each, reason, epoch);
      const isStopped = identity.identityStatus === 'active' && member.membershipStatus === 'active';
      const stopped = isStopped ? [await this.members.disableInTx(tx, member, { reason, force })] : [];
      const events: AuditEvents = [event(first), ...others.map(event), ...stopped];
      return { result: await this.history.show(tx, clusterId, nodeId), events };
    });
  }
}
