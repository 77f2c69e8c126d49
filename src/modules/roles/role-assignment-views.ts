import { Injectable } from '@nestjs/common';
import { twoPartEtag } from '../../common/http/etag.js';
import type { ReadTx } from '../../common/transaction/tx.js';
import { ADMIN_INGRESS } from './admin-ingress.js';
import { AdminIngressReadModel } from './admin-ingress.read-model.js';
import type { RoleAssignment } from './role-assignment.js';
import type { RoleAssignmentView } from './role-assignments.schema.js';
import { RoleBearers } from './role-bearers.js';
import { type RoleCircumstances, roleConditions } from './role-conditions.js';

/** Shows assignments with whether they are effective at this instant. */
@Injectable()
export class RoleAssignmentViews {
  constructor(
    private readonly bearers: RoleBearers,
    private readonly ingress: AdminIngressReadModel,
  ) {}

  async one(tx: ReadTx, assignment: RoleAssignment): Promise<RoleAssignmentView> {
    return (await this.of(tx, assignment.clusterId, [assignment]))(assignment);
  }

  /** The view of each of these assignments of one cluster. */
  async of(
    tx: ReadTx,
    clusterId: string,
    assignments: readonly RoleAssignment[],
  ): Promise<(assignment: RoleAssignment) => RoleAssignmentView> {
    const circumstances = await this.circumstances(tx, clusterId, assignments);
    return (assignment) => view(assignment, circumstances(assignment), tx.now);
  }

  /** What each of these assignments of one cluster is judged by. */
  async circumstances(
    tx: ReadTx,
    clusterId: string,
    assignments: readonly RoleAssignment[],
  ): Promise<(assignment: RoleAssignment) => RoleCircumstances> {
    const nodesOf = (some: readonly RoleAssignment[]) => [...new Set(some.map(({ nodeId }) => nodeId))];
    const bearers = await this.bearers.of(tx, clusterId, nodesOf(assignments));
    const around = await this.ingress.around(
      tx,
      clusterId,
      nodesOf(assignments.filter(({ role }) => role === ADMIN_INGRESS)),
    );
    return ({ nodeId, role }) => ({
      bearer: bearers(nodeId),
      ingress: role === ADMIN_INGRESS ? (around.get(nodeId) ?? null) : null,
    });
  }
}

/** Health and time change what an assignment gives without changing the assignment: `If-Match` looks at that alone. */
export function roleAssignmentEtag({
  effective,
  ineffectiveReason: reason,
  ...config
}: RoleAssignmentView): string {
  return twoPartEtag(config, { effective, reason });
}

function view(assignment: RoleAssignment, circumstances: RoleCircumstances, now: Date): RoleAssignmentView {
  const { validFrom, validUntil, assignedAt, policy, ...rest } = assignment;
  const reason = roleConditions(assignment, circumstances, now).find(({ holds }) => !holds)?.reason ?? null;
  return {
    ...rest,
    effective: reason === null,
    ineffectiveReason: reason,
    policy: policy as RoleAssignmentView['policy'],
    validFrom: validFrom?.toISOString() ?? null,
    validUntil: validUntil?.toISOString() ?? null,
    assignedAt: assignedAt.toISOString(),
  };
}
