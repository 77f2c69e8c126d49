import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import {
  ALL_PERMISSIONS,
  PERMISSIONS,
  PRINCIPAL_ROLES,
  type PrincipalRole,
} from '../../common/auth/permissions.js';
import { holds, type Principal } from '../../common/auth/principal.js';
import { effectiveGrant, grantRefusals, type WantedGrant } from './granting.js';

const clusters = ['cluster-a', 'cluster-b'] as const;

function principalWith(...wanted: WantedGrant[]): Principal {
  const actor = { type: 'api_token', id: 'x', displayName: 'x', ip: null, userAgent: null } as const;
  return {
    actor,
    key: 'x',
    bootstrap: false,
    highRisk: true,
    grants: wanted.map(effectiveGrant),
    node: null,
  };
}

const over = (clusterId: string | null, role: PrincipalRole): WantedGrant => ({
  role,
  permissions: [],
  clusterId,
});
const pointers = (granter: Principal, wanted: WantedGrant) =>
  grantRefusals(granter, wanted).map(({ pointer }) => pointer);

describe('grantRefusals', () => {
  const owner = principalWith(over(null, 'platform-owner'));
  const admin = principalWith(over(null, 'platform-admin'));
  const clusterAdmin = principalWith(over('cluster-a', 'platform-admin'));

  it.each(PRINCIPAL_ROLES)('lets an owner give %s, over everything or one cluster', (role) => {
    expect(pointers(owner, over(null, role))).toEqual([]);
    expect(pointers(owner, over('cluster-a', role))).toEqual([]);
  });

  it.each<[PrincipalRole, boolean]>([
    ['platform-owner', false],
    ['recovery-admin', false],
    ['platform-admin', true],
    ['platform-operator', true],
    ['platform-engineering', true],
    ['auditor', true],
  ])('may an admin give %s: %p', (role, may) => {
    expect(pointers(admin, over(null, role))).toEqual(may ? [] : ['#/role']);
    expect(pointers(admin, over('cluster-a', role))).toEqual(may ? [] : ['#/role']);
  });

  it('keeps who holds one cluster within it', () => {
    expect(pointers(clusterAdmin, over('cluster-a', 'platform-operator'))).toEqual([]);
    expect(pointers(clusterAdmin, over('cluster-b', 'platform-operator'))).toEqual(['#/role']);
    expect(pointers(clusterAdmin, over(null, 'platform-operator'))).toEqual(['#/role']);
  });

  it('names each permission that is not held by its place', () => {
    const granter = principalWith({
      role: null,
      permissions: ['clusters.read', 'nodes.read'],
      clusterId: null,
    });
    const wanted = {
      role: null,
      permissions: ['clusters.read', 'nodes.revoke', 'nodes.read', 'audit.read'],
      clusterId: null,
    } as const;
    expect(grantRefusals(granter, wanted)).toEqual([
      expect.objectContaining({ pointer: '#/permissions/1', missing: ['nodes.revoke'] }),
      expect.objectContaining({ pointer: '#/permissions/3', missing: ['audit.read'] }),
    ]);
  });

  it('does not let the sum of single permissions hand on the authority of a role', () => {
    const granter = principalWith({ role: null, permissions: ALL_PERMISSIONS, clusterId: null });
    expect(pointers(granter, over(null, 'platform-admin'))).toEqual([]);
    expect(pointers(granter, over(null, 'platform-owner'))).toEqual(['#/role']);
  });
});

describe('effectiveGrant', () => {
  it('holds over one cluster nothing that is held over the whole platform only', () => {
    const { permissions } = effectiveGrant({
      role: 'platform-owner',
      permissions: ['clusters.create'],
      clusterId: 'cluster-a',
    });
    expect([...permissions].filter((name) => PERMISSIONS[name].scope === 'platform')).toEqual([]);
    expect(permissions.has('clusters.update')).toBe(true);
  });
});

const arbitraryScope = fc.constantFrom<string | null>(null, ...clusters);
const arbitraryGrant: fc.Arbitrary<WantedGrant> = fc.record({
  role: fc.option(fc.constantFrom(...PRINCIPAL_ROLES)),
  permissions: fc.uniqueArray(fc.constantFrom(...ALL_PERMISSIONS), { maxLength: 6 }),
  clusterId: arbitraryScope,
});

describe('whatever is granted', () => {
  it('is held by who grants it, over every scope and down every chain', () => {
    fc.assert(
      fc.property(
        fc.array(arbitraryGrant, { minLength: 1, maxLength: 3 }),
        fc.array(arbitraryGrant, { minLength: 1, maxLength: 4 }),
        (first, chain) => {
          const root = principalWith(...first);
          let granter = root;
          for (const wanted of chain) {
            if (grantRefusals(granter, wanted).length > 0) continue;
            granter = principalWith(wanted);
            for (const scope of [null, ...clusters]) {
              const gained = ALL_PERMISSIONS.filter(
                (name) => holds(granter, name, scope) && !holds(root, name, scope),
              );
              expect(gained).toEqual([]);
            }
          }
        },
      ),
      { numRuns: 500 },
    );
  });

  it('can be granted on by who received it', () => {
    fc.assert(
      fc.property(arbitraryGrant, (wanted) => {
        const permissions = wanted.permissions.filter(
          (name) => wanted.clusterId === null || PERMISSIONS[name].scope === 'cluster',
        );
        expect(grantRefusals(principalWith(wanted), { ...wanted, permissions })).toEqual([]);
      }),
    );
  });
});
