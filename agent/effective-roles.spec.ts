import { describe, expect, it } from '@jest/globals';
import { effectiveRoles, nextRoleChange } from './effective-roles.js';
import type { Snapshot, SnapshotRole } from './snapshot.js';

const at = (time: string): string => `2026-03-01T${time}.000Z`;
const now = new Date(at('12:00:00'));

function snapshot(roles: Partial<SnapshotRole>[], change: Partial<Snapshot> = {}): Snapshot {
  const plain = { organizationId: null, policy: null, validFrom: null, validUntil: null };
  return {
    clusterId: 'c',
    nodeId: 'n',
    generation: 1,
    authorityTerm: 1,
    issuedAt: at('00:00:00'),
    expiresAt: at('18:00:00'),
    degradedGraceSeconds: 3_600,
    membershipStatus: 'active',
    workloads: [],
    vpnAssignments: [],
    mirror: null,
    updateCaches: [],
    updates: [],
    snapshotKeys: [],
    roles: roles.map((role) => ({ ...plain, role: 'vpn-exit', ...role })),
    ...change,
  };
}

describe('roles in force', () => {
  it.each<[string, Snapshot, string[]]>([
    ['without bounds', snapshot([{}]), ['vpn-exit']],
    ['from this very instant', snapshot([{ validFrom: at('12:00:00') }]), ['vpn-exit']],
    ['not before its time', snapshot([{ validFrom: at('12:00:01') }]), []],
    ['not at its end, which is exclusive', snapshot([{ validUntil: at('12:00:00') }]), []],
    [
      'for two organizations once',
      snapshot([{ organizationId: 'a' }, { organizationId: 'b' }]),
      ['vpn-exit'],
    ],
    ['sorted', snapshot([{ role: 'vpn-exit' }, { role: 'core-mesh' }]), ['core-mesh', 'vpn-exit']],
    ['none for a disabled member', snapshot([{}], { membershipStatus: 'disabled' }), []],
    ['on in the grace after expiry', snapshot([{}], { expiresAt: at('11:30:00') }), ['vpn-exit']],
    ['none when the grace is over', snapshot([{}], { expiresAt: at('11:00:00') }), []],
  ])('%s', (_, given, roles) => expect(effectiveRoles(given, now)).toEqual(roles));

  it('change next at the nearest bound ahead', () => {
    const given = snapshot([
      { validFrom: at('11:00:00'), validUntil: at('15:00:00') },
      { validFrom: at('13:00:00') },
    ]);
    expect(nextRoleChange(given, now)).toEqual(new Date(at('13:00:00')));
  });

  it('change next when expiry and grace are over, where no role is bounded', () => {
    expect(nextRoleChange(snapshot([{}]), now)).toEqual(new Date(at('19:00:00')));
  });

  it('change no more after that', () => {
    expect(nextRoleChange(snapshot([{}], { expiresAt: at('10:00:00') }), now)).toBeNull();
  });
});
