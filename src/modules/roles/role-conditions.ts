import { type AdminIngressFacts, adminIngressConditions } from './admin-ingress.js';
import { type RoleAssignment, type RoleBearer, unmetCapabilities } from './role-assignment.js';
import { ROLE_CATALOGUE } from './role-catalogue.js';
import { condition, type RoleCondition } from './role-condition.js';

/** What an assignment is judged by. */
export interface RoleCircumstances {
  bearer: RoleBearer;
  /** null for every role but `admin-ingress`. */
  ingress: AdminIngressFacts | null;
}

/** Rule by rule, why the assignment is effective at `now`, or why not. It is when all of them hold. */
export function roleConditions(
  assignment: RoleAssignment,
  { bearer, ingress }: RoleCircumstances,
  now: Date,
): RoleCondition[] {
  return [
    assigned(assignment),
    membership(bearer),
    ...capabilities(assignment, bearer),
    ...validity(assignment, now),
    ...(ingress === null ? [] : adminIngressConditions(ingress, now)),
  ];
}

function assigned({ status, assignedAt, assignedBy }: RoleAssignment): RoleCondition {
  const given = `Assigned at ${assignedAt.toISOString()} by ${assignedBy.type} ${assignedBy.id}`;
  const isActive = status === 'active';
  return condition(
    'role_explicitly_assigned',
    isActive || 'disabled',
    isActive ? `${given}.` : `${given}, and disabled.`,
  );
}

function membership({ membershipStatus: status }: RoleBearer): RoleCondition {
  const verdict = status === 'active' || (`membership_${status}` as const);
  return condition('membership_active', verdict, `The membership is ${status}.`);
}

function capabilities({ role }: RoleAssignment, bearer: RoleBearer): RoleCondition[] {
  const { requiredCapabilities } = ROLE_CATALOGUE[role];
  const { missing, denied } = unmetCapabilities(requiredCapabilities, bearer);
  const required = `The role requires ${list(requiredCapabilities)}`;
  return [
    condition(
      'capabilities_allowed',
      denied.length === 0 || 'capability_denied',
      `${required}; the policy of the cluster denies ${list(denied)}.`,
    ),
    condition(
      'capabilities_reported',
      missing.length === 0 || 'capability_missing',
      missing.length === 0
        ? `${required}; the node lacks nothing.`
        : `The node does not report ${list(missing)}.`,
    ),
  ];
}

function validity({ validFrom, validUntil }: RoleAssignment, now: Date): RoleCondition[] {
  return [
    condition(
      'validity_not_over',
      validUntil === null || now < validUntil || 'no_longer_valid',
      validUntil === null ? 'It has no end.' : `Its end is ${validUntil.toISOString()}.`,
    ),
    condition(
      'validity_begun',
      validFrom === null || validFrom <= now || 'not_yet_valid',
      validFrom === null ? 'It has no beginning.' : `Its beginning is ${validFrom.toISOString()}.`,
    ),
  ];
}

function list(names: readonly string[]): string {
  return names.length === 0 ? 'nothing' : names.join(', ');
}
