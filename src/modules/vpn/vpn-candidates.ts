import { Injectable } from '@nestjs/common';
import type { ReadTx } from '../../common/transaction/tx.js';
import { PolicyReadModel } from '../clusters/policy.read-model.js';
import { MembershipsReadModel } from '../nodes/memberships.read-model.js';
import type { RoleGrant } from '../roles/role-assignment.js';
import { RolesReadModel } from '../roles/roles.read-model.js';
import type { Candidate } from './eligibility.js';

/** Reads what decides whether nodes may hold connections of their cluster. */
@Injectable()
export class VpnCandidates {
  constructor(
    private readonly members: MembershipsReadModel,
    private readonly roles: RolesReadModel,
    private readonly policies: PolicyReadModel,
  ) {}

  /** These nodes as candidates; for a connection that allows them, or does not. */
  async of(
    tx: ReadTx,
    clusterId: string,
    nodeIds: readonly string[],
  ): Promise<(nodeId: string, isAllowed: boolean) => Candidate> {
    const members = await this.members.forSnapshots(tx, clusterId, nodeIds);
    const grants = await this.roles.forNodes(tx, clusterId, nodeIds);
    const policy = await this.policies.get(tx, clusterId);
    const byNode = new Map(members.map((member) => [member.nodeId, member]));
    return (nodeId, isAllowed) =>
      candidateOf(byNode.get(nodeId), { grants: grants.get(nodeId) ?? [], policy, isAllowed });
  }
}

/** One candidate from what was read of it; no member: nobody of the cluster. */
export function candidateOf(
  member: { membershipStatus: Candidate['membershipStatus']; capabilities: readonly string[] } | undefined,
  {
    grants,
    policy,
    isAllowed,
  }: {
    grants: readonly RoleGrant[];
    policy: { capabilityPolicy: { denied?: string[] | undefined } };
    isAllowed: boolean;
  },
): Candidate {
  return {
    membershipStatus: member?.membershipStatus ?? null,
    isAllowed,
    grants,
    capabilities: member?.capabilities ?? [],
    deniedCapabilities: policy.capabilityPolicy.denied ?? [],
  };
}
