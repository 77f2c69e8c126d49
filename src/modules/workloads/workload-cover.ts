import { ineffectiveReason, type RoleBearer, type RoleGrant } from '../roles/role-assignment.js';
import { ROLE_CATALOGUE, type RoleName } from '../roles/role-catalogue.js';

/** Service types that serve to try out a node: whoever may run anything may run them. */
const DIAGNOSTIC: readonly string[] = ['synthetic.echo'];

/** Why a node may not run a workload now, whatever is wanted. */
export type WorkloadObstacle = 'membership_revoked' | 'membership_disabled' | 'role_not_effective';

/** Types of workloads that a node with the role may run. */
export function coveredTypes(role: RoleName): readonly string[] {
  return [...ROLE_CATALOGUE[role].serviceTypes, ...DIAGNOSTIC];
}

/**
 * Whether an operator may want a workload of the type on a node: an active role covers it, now or later. That a role
 * gives nothing at the moment, since the node lost a capability or is disabled, is no reason to forbid the plan.
 */
export function mayBeWanted(serviceType: string, grants: readonly RoleGrant[], now: Date): boolean {
  return grants.some(
    ({ role, status, validUntil }) =>
      status === 'active' &&
      (validUntil === null || now < validUntil) &&
      coveredTypes(role).includes(serviceType),
  );
}

/** Why the node may not run a workload of the type at `now`; null when it may. */
export function workloadObstacle(
  serviceType: string,
  grants: readonly RoleGrant[],
  bearer: RoleBearer,
  now: Date,
): WorkloadObstacle | null {
  if (bearer.membershipStatus === 'revoked') return 'membership_revoked';
  if (bearer.membershipStatus === 'disabled') return 'membership_disabled';
  const isCovered = grants.some(
    (grant) =>
      coveredTypes(grant.role).includes(serviceType) && ineffectiveReason(grant, bearer, now) === null,
  );
  return isCovered ? null : 'role_not_effective';
}
