import { Injectable } from '@nestjs/common';
import type { ReadTx } from '../../common/transaction/tx.js';
import { AuthorityReadModel } from '../authority/authority.read-model.js';
import { PolicyReadModel } from '../clusters/policy.read-model.js';
import { MembershipsReadModel, type SnapshotMember } from '../nodes/memberships.read-model.js';
import { grantedRoles } from '../roles/role-assignment.js';
import { RolesReadModel } from '../roles/roles.read-model.js';
import { type ClusterContent, composeNodeContent, type NodeContent } from './snapshot-content.js';

/** A member with its composed content; null for one that is revoked and has no snapshot. */
export interface Composed {
  member: SnapshotMember;
  content: NodeContent | null;
}

/** Reads what snapshots are made of, set by set, for any number of nodes at once. */
@Injectable()
export class SnapshotComposer {
  constructor(
    private readonly memberships: MembershipsReadModel,
    private readonly roles: RolesReadModel,
    private readonly policies: PolicyReadModel,
    private readonly authorities: AuthorityReadModel,
  ) {}

  /** The content of these nodes, in node-id order. */
  async compose(tx: ReadTx, clusterId: string, nodeIds: readonly string[] | 'all'): Promise<Composed[]> {
    const members = await this.memberships.forSnapshots(tx, clusterId, nodeIds);
    const grants = await this.roles.forNodes(tx, clusterId, nodeIds);
    const { capabilityPolicy } = await this.policies.get(tx, clusterId);
    return members.map((member) => {
      const { membershipStatus, nodeId, name, telemetryEnabled, capabilities } = member;
      if (membershipStatus === 'revoked') return { member, content: null };
      const granted = grantedRoles(
        grants.get(nodeId) ?? [],
        capabilities,
        capabilityPolicy.denied ?? [],
        membershipStatus,
      );
      const roles = granted.map(({ role, organizationId, policy, validFrom, validUntil }) => ({
        role,
        organizationId,
        policy: policy as Record<string, unknown>,
        validFrom: validFrom?.toISOString() ?? null,
        validUntil: validUntil?.toISOString() ?? null,
      }));
      return {
        member,
        content: composeNodeContent({ clusterId, nodeId, name, membershipStatus, telemetryEnabled, roles }),
      };
    });
  }

  /** What all of the cluster's snapshots share, and how long they are valid. */
  async cluster(
    tx: ReadTx,
    clusterId: string,
  ): Promise<ClusterContent & { snapshotLifetimeSeconds: number }> {
    const policy = await this.policies.get(tx, clusterId);
    const authority = (await this.authorities.byCluster(tx, [clusterId])).get(clusterId);
    if (authority === undefined) throw new Error(`cluster ${clusterId} has no authority`);
    const { degradedGraceSeconds, snapshotLifetimeSeconds } = policy;
    return { authorityTerm: authority.term, degradedGraceSeconds, snapshotLifetimeSeconds };
  }
}
