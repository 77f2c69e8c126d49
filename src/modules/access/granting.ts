import {
  ALL_PERMISSIONS,
  OWNER_ROLE,
  PERMISSIONS,
  type Permission,
  type PrincipalRole,
  permissionsOfRole,
} from '../../common/auth/permissions.js';
import { type Grant, holds, type Principal } from '../../common/auth/principal.js';

/** What somebody asks to be given: a role, single permissions, or both, over one scope. */
export interface WantedGrant {
  role: PrincipalRole | null;
  permissions: readonly Permission[];
  /** null: the whole platform. */
  clusterId: string | null;
}

/** Why a part of a wanted grant cannot be given. */
export interface GrantRefusal {
  /** JSON pointer into the request. */
  pointer: string;
  message: string;
  /** What the granter lacks. */
  missing: readonly Permission[];
}

/** Authority that is handed on only by who holds it: more may be added to these roles than anybody below holds today. */
const HANDED_ON: readonly PrincipalRole[] = [OWNER_ROLE, 'recovery-admin'];

/** Roles that mean something within an organization only, and hold no permission over the platform. */
export const ORGANIZATION_ROLES: readonly PrincipalRole[] = ['organization-admin', 'organization-member'];

/** What `wanted` comes to: permissions that are held over the whole platform or not at all fall away over one cluster. */
export function effectiveGrant({ role, permissions, clusterId }: WantedGrant): Grant {
  const ofRole: ReadonlySet<Permission> = role === null ? new Set() : permissionsOfRole(role);
  const effective = ALL_PERMISSIONS.filter(
    (name) => (ofRole.has(name) || permissions.includes(name)) && fits(name, clusterId),
  );
  return { role, permissions: new Set(effective), clusterId };
}

/** Whether a permission can be held over this scope. */
export function fits(permission: Permission, clusterId: string | null): boolean {
  return clusterId === null || PERMISSIONS[permission].scope === 'cluster';
}

/** Why `granter` may not give `wanted`; empty when it may. Nobody gives more than they hold, nor over a wider scope. */
export function grantRefusals(granter: Principal, wanted: WantedGrant): GrantRefusal[] {
  const { role, permissions, clusterId } = wanted;
  const refusals: GrantRefusal[] = [];
  if (role !== null) {
    const { permissions: ofRole } = effectiveGrant({ role, permissions: [], clusterId });
    const missing = [...ofRole].filter((name) => !holds(granter, name, clusterId));
    if (
      missing.length > 0 ||
      (HANDED_ON.includes(role) && !hasRole(granter, [role, OWNER_ROLE], clusterId))
    ) {
      refusals.push({ pointer: '#/role', message: 'You do not hold all that this role holds.', missing });
    }
  }
  permissions.forEach((name, index) => {
    if (holds(granter, name, clusterId)) return;
    refusals.push({
      pointer: `#/permissions/${index}`,
      message: 'You do not hold this permission over this scope.',
      missing: [name],
    });
  });
  return refusals;
}

function hasRole({ grants }: Principal, roles: readonly PrincipalRole[], clusterId: string | null): boolean {
  return grants.some(
    (grant) =>
      (roles as readonly (string | null)[]).includes(grant.role) &&
      (grant.clusterId === null || grant.clusterId === clusterId),
  );
}
