import { ineffectiveReason, type RoleGrant } from '../roles/role-assignment.js';
import { ROLE_OF_KIND, type VpnConnectionSettings } from './vpn-connection.js';

/** Why a node may not hold a connection; also why a lease ended, where that took it away. */
export const INELIGIBLE_REASONS = [
  'connection_deleted',
  'connection_disabled',
  'not_a_member',
  'membership_revoked',
  'membership_disabled',
  'not_allowed',
  'role_missing',
  'role_disabled',
  'capability_denied',
  'capability_missing',
  'role_not_yet_valid',
  'role_no_longer_valid',
] as const;
export type IneligibleReason = (typeof INELIGIBLE_REASONS)[number];

/** What a connection asks of its holder. */
export type HeldConnection = Pick<VpnConnectionSettings, 'kind' | 'organizationId' | 'desiredState'>;

/** A node as somebody who might hold a connection. */
export interface Candidate {
  /** null: no member of the cluster. */
  membershipStatus: 'active' | 'disabled' | 'revoked' | null;
  isAllowed: boolean;
  /** All of the node's assignments in the cluster. */
  grants: readonly RoleGrant[];
  capabilities: readonly string[];
  /** As the cluster's policy denies them. */
  deniedCapabilities: readonly string[];
}

const REASON_OF_GRANT = {
  disabled: 'role_disabled',
  capability_denied: 'capability_denied',
  capability_missing: 'capability_missing',
  not_yet_valid: 'role_not_yet_valid',
  no_longer_valid: 'role_no_longer_valid',
} as const;

/** The assignments that are of the role that the connection needs. One for an organization fits only what is that
 *  organization's. */
export function fittingGrants<G extends Pick<RoleGrant, 'role' | 'organizationId'>>(
  { kind, organizationId }: Pick<HeldConnection, 'kind' | 'organizationId'>,
  grants: readonly G[],
): G[] {
  return grants.filter(
    (grant) =>
      grant.role === ROLE_OF_KIND[kind] &&
      (grant.organizationId === null || grant.organizationId === organizationId),
  );
}

/** Everything that keeps the node from holding the connection at `now`, in the order of {@link INELIGIBLE_REASONS}. */
export function ineligibleReasons(
  connection: HeldConnection,
  candidate: Candidate,
  now: Date,
): IneligibleReason[] {
  const { membershipStatus, isAllowed } = candidate;
  const found = new Set<IneligibleReason>(roleReasons(connection, candidate, now));
  if (connection.desiredState === 'disabled') found.add('connection_disabled');
  if (membershipStatus === null) found.add('not_a_member');
  else if (membershipStatus !== 'active') found.add(`membership_${membershipStatus}`);
  if (!isAllowed) found.add('not_allowed');
  return INELIGIBLE_REASONS.filter((reason) => found.has(reason));
}

/**
 * Until when an eligible node stays so by the time alone: the end of its role, or of the last in a row of assignments
 * that follow each other without a gap; null when there is no end.
 */
export function eligibleUntil(connection: HeldConnection, candidate: Candidate, now: Date): Date | null {
  const bearer = asBearer(candidate);
  const lasting = fittingGrants(connection, candidate.grants).filter((grant) =>
    UNTIMELY.includes(ineffectiveReason(grant, bearer, now)),
  );
  let until = now;
  for (;;) {
    const next = lasting.filter(
      ({ validFrom, validUntil }) =>
        (validFrom === null || validFrom <= until) && (validUntil === null || validUntil > until),
    );
    if (next.length === 0) return until;
    if (next.some(({ validUntil }) => validUntil === null)) return null;
    until = new Date(Math.max(...next.map(({ validUntil }) => Number(validUntil))));
  }
}

/** What the time alone keeps from being effective. */
const UNTIMELY: readonly unknown[] = [null, 'not_yet_valid', 'no_longer_valid'];

/** A membership that is not active is a reason of its own, and none of the role's. */
function asBearer({ capabilities, deniedCapabilities }: Candidate) {
  return { membershipStatus: 'active' as const, capabilities, deniedCapabilities };
}

function roleReasons(connection: HeldConnection, candidate: Candidate, now: Date): IneligibleReason[] {
  const fitting = fittingGrants(connection, candidate.grants);
  if (fitting.length === 0) return ['role_missing'];
  const bearer = asBearer(candidate);
  const reasons = fitting.map((grant) => ineffectiveReason(grant, bearer, now));
  if (reasons.includes(null)) return [];
  return reasons.map((reason) => REASON_OF_GRANT[reason as keyof typeof REASON_OF_GRANT]);
}
