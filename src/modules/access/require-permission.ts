import type { Permission } from '../../common/auth/permissions.js';
import { holds, type Principal } from '../../common/auth/principal.js';
import { forbidden } from '../../common/errors/domain-error.js';

/**
 * For permissions that only some inputs of an operation need; `access` of the route is for those that all do.
 * @param clusterId null: over the whole platform
 * @param what what needs it, as the beginning of a sentence
 * @throws forbidden naming the permission
 */
export function requirePermission(
  principal: Principal,
  permission: Permission,
  clusterId: string | null,
  what = 'This',
): void {
  if (holds(principal, permission, clusterId)) return;
  const where = clusterId === null ? ' over the whole platform' : '';
  throw forbidden('forbidden', `${what} needs the permission ${permission}${where}.`, {
    extensions: { permission },
  });
}
