import { Injectable } from '@nestjs/common';
import type { ReadTx } from '../../common/transaction/tx.js';
import { PolicyReadModel } from '../clusters/policy.read-model.js';
import { MembershipsReadModel } from '../nodes/memberships.read-model.js';
import type { RoleBearer } from './role-assignment.js';

/** What decides over the roles of nodes beside their assignments. */
@Injectable()
export class RoleBearers {
  constructor(
    private readonly members: MembershipsReadModel,
    private readonly policies: PolicyReadModel,
  ) {}

  /** By node. One that is no member any more was revoked. */
  async of(
    tx: ReadTx,
    clusterId: string,
    nodeIds: readonly string[],
  ): Promise<(nodeId: string) => RoleBearer> {
    const deniedCapabilities = await this.deniedCapabilities(tx, clusterId);
    const members = await this.members.forSnapshots(tx, clusterId, nodeIds);
    const byNode = new Map(members.map((member) => [member.nodeId, member]));
    return (nodeId) => {
      const { membershipStatus = 'revoked', capabilities = [] } = byNode.get(nodeId) ?? {};
      return { membershipStatus, capabilities, deniedCapabilities };
    };
  }

  /** What the cluster's policy does not count, whoever reports it. */
  async deniedCapabilities(tx: ReadTx, clusterId: string): Promise<readonly string[]> {
    return (await this.policies.get(tx, clusterId)).capabilityPolicy.denied ?? [];
  }
}
