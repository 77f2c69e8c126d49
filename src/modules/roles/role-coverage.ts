import type { AuditEvent } from '../../common/audit/audit-event.js';
import type { RoleName } from './role-catalogue.js';

/** How many nodes of a cluster fill a role, each counted once, whichever organizations it has the role for. */
export interface RoleCount {
  role: RoleName;
  /** How many are wanted; 0: none, or nobody has said. */
  minimum: number;
  /** Unrevoked members that have the role and for which it is not disabled. */
  assigned: number;
  /** Those of them that may act in it now. */
  effective: number;
  /** Those of these that are `online`. */
  healthy: number;
}

/** A role's count with what is missing: as many nodes as `effective` is short of `minimum`. */
export type RoleCoverage = RoleCount & { gap: number };

export function coverageOf(count: RoleCount): RoleCoverage {
  return { ...count, gap: Math.max(0, count.minimum - count.effective) };
}

/** A role that a change would leave with too few nodes. */
export type RoleShortage = Pick<RoleCount, 'role' | 'minimum' | 'effective'>;

declare module '../../common/audit/audit-event.js' {
  interface AuditActions {
    'role_coverage.updated': { before: { minimum: number } | null; after: { minimum: number } };
  }
}

/** @param before null: nobody had said */
export function roleMinimumSet(
  clusterId: string,
  role: RoleName,
  before: number | null,
  minimum: number,
): AuditEvent {
  return {
    action: 'role_coverage.updated',
    resource: { type: 'role_coverage', id: role, name: null },
    clusterId,
    outcome: 'success',
    reason: null,
    before: before === null ? null : { minimum: before },
    after: { minimum },
  };
}
