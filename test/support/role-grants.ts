import type { RoleBearer, RoleGrant } from '../../src/modules/roles/role-assignment.js';

/** A role for the whole cluster, without bounds. */
export function roleGrant(more: Partial<RoleGrant> = {}): RoleGrant {
  return {
    assignmentId: '019ab0c4-7e11-7a52-8d3f-5a0d7f0f3c21',
    role: 'vpn-exit',
    organizationId: null,
    status: 'active',
    policy: {},
    validFrom: null,
    validUntil: null,
    requiredCapabilities: ['can_run_vpn_exit'],
    ...more,
  };
}

/** An active member that can do what the role above requires. */
export function roleBearer(more: Partial<RoleBearer> = {}): RoleBearer {
  return {
    membershipStatus: 'active',
    capabilities: ['can_run_vpn_exit'],
    deniedCapabilities: [],
    ...more,
  };
}
