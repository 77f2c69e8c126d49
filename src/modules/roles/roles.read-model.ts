import { Injectable } from '@nestjs/common';
import type { ReadTx } from '../../common/transaction/tx.js';
import type { RoleAssignment, RoleGrant } from './role-assignment.js';
import { RoleAssignmentsRepository } from './role-assignments.repository.js';
import { ROLE_CATALOGUE, type RoleName } from './role-catalogue.js';

/** What other modules ask about roles. */
@Injectable()
export class RolesReadModel {
  constructor(private readonly assignments: RoleAssignmentsRepository) {}

  /** What has been assigned to these nodes, by node id, oldest first; a node without any is not in the map. Which of
   *  them give something decides `grantedRoles`. */
  async forNodes(
    tx: ReadTx,
    clusterId: string,
    nodeIds: readonly string[] | 'all',
  ): Promise<Map<string, RoleGrant[]>> {
    const grants = new Map<string, RoleGrant[]>();
    for (const assignment of await this.assignments.forNodes(tx, clusterId, nodeIds)) {
      const known = grants.get(assignment.nodeId);
      if (known === undefined) grants.set(assignment.nodeId, [roleGrant(assignment)]);
      else known.push(roleGrant(assignment));
    }
    return grants;
  }

  /** Nodes to which the role has been assigned, whether or not it gives them anything now. */
  nodesWith(tx: ReadTx, clusterId: string, role: RoleName): Promise<string[]> {
    return this.assignments.nodesWith(tx, clusterId, role);
  }
}

/** An assignment together with what its role requires. */
export function roleGrant(assignment: RoleAssignment): RoleGrant {
  const { id: assignmentId, role, organizationId, status, policy, validFrom, validUntil } = assignment;
  const { requiredCapabilities } = ROLE_CATALOGUE[role];
  return { assignmentId, role, organizationId, status, policy, validFrom, validUntil, requiredCapabilities };
}
