import type { AuditEvent } from '../../common/audit/audit-event.js';
import type { Insistence } from '../nodes/membership.js';
import type { RoleName } from './role-catalogue.js';

/** What a node may do in a cluster: one role, for all organizations or for one. */
export interface RoleAssignment {
  id: string;
  clusterId: string;
  nodeId: string;
  role: RoleName;
  /** null: for the whole cluster. */
  organizationId: string | null;
  status: RoleAssignmentStatus;
  policy: Record<string, unknown>;
  /** Half-open range; null: no bound. */
  validFrom: Date | null;
  validUntil: Date | null;
  assignedAt: Date;
  assignedBy: { type: string; id: string };
}

export type RoleAssignmentStatus = 'active' | 'disabled';

/** The allowed changes of an assignment's stored status. */
export const NEXT: Record<RoleAssignmentStatus, readonly RoleAssignmentStatus[]> = {
  active: ['disabled'],
  disabled: ['active'],
};

/** An assignment as snapshots and other modules see it. */
export interface RoleGrant
  extends Pick<RoleAssignment, 'role' | 'organizationId' | 'status' | 'policy' | 'validFrom' | 'validUntil'> {
  assignmentId: string;
  /** Of the role, from the catalogue. */
  requiredCapabilities: readonly string[];
}

/** What decides over a node's roles beside the assignments. */
export interface RoleBearer {
  membershipStatus: 'active' | 'disabled' | 'revoked';
  /** As the node reports them. */
  capabilities: readonly string[];
  /** As the cluster's policy denies them. */
  deniedCapabilities: readonly string[];
}

/** Why an assignment gives nothing now. Where several causes hold, the most deliberate is named. */
export const INEFFECTIVE_REASONS = [
  'disabled',
  'membership_revoked',
  'membership_disabled',
  'capability_denied',
  'capability_missing',
  'not_yet_valid',
  'no_longer_valid',
  // Of `admin-ingress` alone; see admin-ingress.ts.
  'cluster_not_authoritative',
  'snapshot_not_current',
  'certificate_not_valid',
  'node_not_current',
  'role_coverage_missing',
] as const;
export type IneffectiveReason = (typeof INEFFECTIVE_REASONS)[number];

type Obstacles = Pick<RoleGrant, 'status' | 'requiredCapabilities'>;
type Validity = Pick<RoleGrant, 'validFrom' | 'validUntil'>;

/**
 * Why the grant gives nothing at `now`; null when assignment, membership, capabilities and time are in order. What
 * `admin-ingress` needs beyond that is looked at only where the role is shown: see {@link roleConditions}.
 */
export function ineffectiveReason(
  grant: Obstacles & Validity,
  bearer: RoleBearer,
  now: Date,
): IneffectiveReason | null {
  return lastingObstacle(grant, bearer) ?? untimely(grant, now);
}

/**
 * The grants that a snapshot carries: all that hold at some time, now or not. Time is left out, since nothing in a
 * snapshot depends on the clock: validity travels with the grant and is applied at its instant.
 */
export function grantedRoles<G extends Obstacles>(
  grants: readonly G[],
  capabilities: readonly string[],
  deniedCapabilities: readonly string[],
  membershipStatus: RoleBearer['membershipStatus'],
): G[] {
  const bearer = { membershipStatus, capabilities, deniedCapabilities };
  return grants.filter((grant) => lastingObstacle(grant, bearer) === null);
}

/** What of `required` the node cannot count on: not reported, or denied by the cluster's policy. */
export function unmetCapabilities(
  required: readonly string[],
  { capabilities, deniedCapabilities }: Pick<RoleBearer, 'capabilities' | 'deniedCapabilities'>,
): { missing: string[]; denied: string[] } {
  return {
    missing: required.filter((name) => !capabilities.includes(name)),
    denied: required.filter((name) => deniedCapabilities.includes(name)),
  };
}

function lastingObstacle(grant: Obstacles, bearer: RoleBearer): IneffectiveReason | null {
  if (grant.status === 'disabled') return 'disabled';
  if (bearer.membershipStatus === 'revoked') return 'membership_revoked';
  if (bearer.membershipStatus === 'disabled') return 'membership_disabled';
  const { missing, denied } = unmetCapabilities(grant.requiredCapabilities, bearer);
  if (denied.length > 0) return 'capability_denied';
  return missing.length > 0 ? 'capability_missing' : null;
}

function untimely({ validFrom, validUntil }: Validity, now: Date): IneffectiveReason | null {
  if (validUntil !== null && validUntil <= now) return 'no_longer_valid';
  return validFrom !== null && now < validFrom ? 'not_yet_valid' : null;
}

interface AssignmentShape {
  nodeId: string;
  role: string;
  organizationId: string | null;
  policy: Record<string, unknown>;
  validFrom: string | null;
  validUntil: string | null;
}
interface StatusShape {
  status: RoleAssignmentStatus;
}

declare module '../../common/audit/audit-event.js' {
  interface AuditActions {
    'role_assignment.created': { before: null; after: AssignmentShape };
    'role_assignment.disabled': { before: StatusShape; after: StatusShape & Insistence };
    'role_assignment.enabled': { before: StatusShape; after: StatusShape };
    'role_assignment.deleted': { before: AssignmentShape & StatusShape; after: Insistence | null };
  }
}

export function roleAssignmentCreated(assignment: RoleAssignment): AuditEvent {
  return { ...common(assignment), action: 'role_assignment.created', before: null, after: shape(assignment) };
}

/** The event of an enabled assignment. */
export function roleAssignmentEnabled(assignment: RoleAssignment): AuditEvent {
  const [before, after] = [{ status: assignment.status }, { status: 'active' as const }];
  return { ...common(assignment), action: 'role_assignment.enabled', before, after };
}

export function roleAssignmentDisabled(
  assignment: RoleAssignment,
  reason: string | null,
  insisted: Insistence,
): AuditEvent {
  const [before, after] = [{ status: assignment.status }, { status: 'disabled' as const, ...insisted }];
  return { ...common(assignment), action: 'role_assignment.disabled', reason, before, after };
}

export function roleAssignmentDeleted(
  assignment: RoleAssignment,
  reason: string | null,
  insisted: Insistence,
): AuditEvent {
  const before = { ...shape(assignment), status: assignment.status };
  const after = insisted.forced === true ? insisted : null;
  return { ...common(assignment), action: 'role_assignment.deleted', reason, before, after };
}

function common({ id, clusterId, organizationId, role }: RoleAssignment) {
  const resource = { type: 'role_assignment', id, name: role };
  return { resource, clusterId, organizationId, outcome: 'success', reason: null } as const;
}

function shape({
  nodeId,
  role,
  organizationId,
  policy,
  validFrom,
  validUntil,
}: RoleAssignment): AssignmentShape {
  const times = {
    validFrom: validFrom?.toISOString() ?? null,
    validUntil: validUntil?.toISOString() ?? null,
  };
  return { nodeId, role, organizationId, policy, ...times };
}
