import type { IneffectiveReason } from './role-assignment.js';

/** Everything that can keep a role from being effective, in the order in which it is named as the reason. */
export const CONDITION_NAMES = [
  'role_explicitly_assigned',
  'membership_active',
  'capabilities_allowed',
  'capabilities_reported',
  'validity_not_over',
  'validity_begun',
  // Of `admin-ingress` alone.
  'authority_healthy',
  'snapshots_signed_and_current',
  'certificate_valid',
  'node_current',
  'role_coverage_exists',
] as const;

/** One rule that decides whether an assignment gives something. */
export interface RoleCondition {
  name: (typeof CONDITION_NAMES)[number];
  holds: boolean;
  /** What is so, in a sentence for people. */
  detail: string;
  /** The reason that it is when it does not hold; null when it does. */
  reason: IneffectiveReason | null;
}

/** @param verdict true when it holds, else the reason that it is */
export function condition(
  name: RoleCondition['name'],
  verdict: true | IneffectiveReason,
  detail: string,
): RoleCondition {
  return { name, holds: verdict === true, detail, reason: verdict === true ? null : verdict };
}
