import { describe, expect, it } from '@jest/globals';
import { roleBearer as bearer, roleGrant as grant } from '../../../test/support/role-grants.js';
import type { RoleBearer, RoleGrant } from '../roles/role-assignment.js';
import { ROLE_NAMES } from '../roles/role-catalogue.js';
import { coveredTypes, mayBeWanted, workloadObstacle } from './workload-cover.js';

const now = new Date('2026-11-28T12:00:00.000Z');
const [before, after] = [new Date(now.getTime() - 1), new Date(now.getTime() + 1)];

describe('a role', () => {
  it.each(ROLE_NAMES)(
    '%s covers the service type of its name and the diagnostic one, and no other',
    (role) => {
      expect(coveredTypes(role)).toEqual([role, 'synthetic.echo']);
    },
  );
});

describe('a workload', () => {
  it.each<[string, RoleGrant[], boolean]>([
    ['no role', [], false],
    ['a role that covers it', [grant()], true],
    ['another role', [grant({ role: 'ssh-worker' })], false],
    ['a disabled role', [grant({ status: 'disabled' })], false],
    ['a role that is over now', [grant({ validUntil: now })], false],
    ['a role that is over soon', [grant({ validUntil: after })], true],
    ['a role that begins later', [grant({ validFrom: after })], true],
    [
      'a disabled role and one for an organization',
      [grant({ status: 'disabled' }), grant({ organizationId: 'o' })],
      true,
    ],
  ])('with %s', (_, grants, expected) => {
    expect(mayBeWanted('vpn-exit', grants, now)).toBe(expected);
  });

  it.each<[string, RoleGrant[], RoleBearer, ReturnType<typeof workloadObstacle>]>([
    ['may run', [grant()], bearer(), null],
    ['may run by one of two roles', [grant({ role: 'ssh-worker' }), grant()], bearer(), null],
    ['has no role', [], bearer(), 'role_not_effective'],
    ['has another role', [grant({ role: 'ssh-worker' })], bearer(), 'role_not_effective'],
    ['has a disabled role', [grant({ status: 'disabled' })], bearer(), 'role_not_effective'],
    ['has a role that begins later', [grant({ validFrom: after })], bearer(), 'role_not_effective'],
    ['has a role that is over', [grant({ validUntil: before })], bearer(), 'role_not_effective'],
    ['lost the capability', [grant()], bearer({ capabilities: [] }), 'role_not_effective'],
    [
      'is denied the capability',
      [grant()],
      bearer({ deniedCapabilities: ['can_run_vpn_exit'] }),
      'role_not_effective',
    ],
    ['is on a disabled node', [grant()], bearer({ membershipStatus: 'disabled' }), 'membership_disabled'],
    ['is on a revoked node without role', [], bearer({ membershipStatus: 'revoked' }), 'membership_revoked'],
  ])('that %s', (_, grants, node, expected) => {
    expect(workloadObstacle('vpn-exit', grants, node, now)).toBe(expected);
  });
});
