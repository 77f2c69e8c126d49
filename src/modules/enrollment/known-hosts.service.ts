import { Injectable } from '@nestjs/common';
import type { z } from 'zod';
import type { Principal } from '../../common/auth/principal.js';
import { conflict, type DomainError, invalid } from '../../common/errors/domain-error.js';
import { ServiceAddress } from '../../common/http/service-address.js';
import type { Tx } from '../../common/transaction/tx.js';
import { requirePermission } from '../access/require-permission.js';
import { AssertionIds } from '../nodes/assertion-ids.js';
import { NodeIdentities } from '../nodes/node-identities.js';
import { PlatformNodesService } from '../nodes/platform-nodes.service.js';
import { checkHostProof, type HeldHostProof, type HostProofFault } from './host-proof.js';
import type { JoinRequest, KnownHost } from './join-request.js';
import type { ApproveJoinRequest } from './join-requests.schema.js';

/** What of an approval is about a host that is known already. */
export type HostInput = Pick<z.infer<typeof ApproveJoinRequest>, 'hostProof' | 'override'>;

/**
 * Decides whether a join request may become one more membership of a host that is a member of other clusters, or the
 * new key of a membership whose key was revoked.
 */
@Injectable()
export class KnownHosts {
  constructor(
    private readonly hosts: PlatformNodesService,
    private readonly identities: NodeIdentities,
    private readonly assertionIds: AssertionIds,
    private readonly address: ServiceAddress,
  ) {}

  /**
   * The host, kept from joining or ending anywhere else until the transaction ends, once it is shown that the request
   * comes from it or somebody vouches for that by name.
   * @throws forbidden; invalid `node_not_found`, `host_proof_invalid`; conflict `node_already_member`,
   * `membership_revoked`, `node_revoked`
   */
  async require(
    tx: Tx,
    principal: Principal,
    request: JoinRequest,
    nodeId: string,
    { hostProof, override }: HostInput,
  ): Promise<KnownHost> {
    requirePermission(principal, 'nodes.join_existing', null, 'To admit a node that is known already');
    const host = await this.hosts.hold(tx, nodeId);
    if (host === null) throw noSuchNode();
    const here = host.memberships.find(({ clusterId }) => clusterId === request.clusterId);
    if (here?.membershipStatus === 'revoked') throw revokedHere();
    const isMember = here !== undefined;
    if (isMember && (await this.identities.active(tx, request.clusterId, nodeId)) !== null)
      throw conflict('node_already_member', 'The node is a member of this cluster already.');
    if (host.memberships.every(({ membershipStatus }) => membershipStatus === 'revoked'))
      throw revokedEverywhere();
    const machineId = request.reportedFacts.machineId;
    const isSameMachine =
      host.machineId === null || typeof machineId !== 'string' ? null : machineId === host.machineId;
    const known = { nodeId, isMember, isSameMachine };
    if (hostProof === undefined)
      return { ...known, provenBy: null, overrideReason: override?.reason ?? null };
    const { signer, jti, rememberUntil } = await this.checked(tx, request, nodeId, hostProof);
    if (!(await this.assertionIds.take(`host-proof:${nodeId}`, jti, rememberUntil, tx)))
      throw this.refused(
        { fault: 'claims', detail: 'It was used before; make a new one with another jti.' },
        tx.now,
      );
    const provenBy = { clusterId: signer.clusterId, keyThumbprint: signer.key.thumbprint };
    return { ...known, provenBy, overrideReason: null };
  }

  private async checked(
    tx: Tx,
    { id: joinRequestId, nodeFingerprint: keyThumbprint }: JoinRequest,
    nodeId: string,
    hostProof: string,
  ): Promise<HeldHostProof> {
    const hostKeys = await this.identities.keysOfHost(tx, nodeId);
    const acceptsAudience = (aud: string | readonly string[] | undefined) =>
      this.address.audience.accepts(aud);
    const now = await tx.clock();
    const rule = { joinRequestId, keyThumbprint, hostKeys, acceptsAudience, now };
    const verdict = await checkHostProof(hostProof, rule);
    if ('fault' in verdict) throw this.refused(verdict, now);
    return verdict;
  }

  private refused({ fault, detail }: HostProofFault, now: Date): DomainError {
    const extensions = {
      serverTime: now.toISOString(),
      ...(fault === 'audience' && { expectedAudience: this.address.publicUrl }),
    };
    return invalid('host_proof_invalid', `The host proof does not hold: ${detail}`, {
      errors: [{ pointer: '#/hostProof', message: detail }],
      extensions,
    });
  }
}

function noSuchNode(): DomainError {
  const errors = [{ pointer: '#/existingNodeId', message: 'There is no such physical node.' }];
  return invalid('node_not_found', 'There is no such node in any cluster.', { errors });
}

function revokedHere(): DomainError {
  return conflict('membership_revoked', 'The node was a member of this cluster and was revoked, for ever.');
}

function revokedEverywhere(): DomainError {
  return conflict('node_revoked', 'Every membership of the node is revoked: nothing is left to join to.');
}
