import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { roleBearer, roleGrant } from '../../../test/support/role-grants.js';
import {
  grantedRoles,
  INEFFECTIVE_REASONS,
  type IneffectiveReason,
  ineffectiveReason,
  NEXT,
  type RoleBearer,
  type RoleGrant,
} from './role-assignment.js';
import { ROLE_CATALOGUE, ROLE_NAMES } from './role-catalogue.js';
import { policyFaults } from './role-policy.js';

const now = new Date('2026-11-23T08:00:00.000Z');
const before = new Date(now.getTime() - 1);
const after = new Date(now.getTime() + 1);
const grant = roleGrant();
const able = roleBearer();

describe('ineffectiveReason', () => {
  it.each<[string, Partial<RoleGrant>, Partial<RoleBearer>, IneffectiveReason | null]>([
    ['an assignment without bounds holds', {}, {}, null],
    ['a disabled assignment gives nothing', { status: 'disabled' }, {}, 'disabled'],
    [
      'a disabled assignment says so before all else',
      { status: 'disabled', validUntil: before },
      { membershipStatus: 'revoked' },
      'disabled',
    ],
    ['a revoked member has no roles', {}, { membershipStatus: 'revoked' }, 'membership_revoked'],
    ['a disabled member has no roles', {}, { membershipStatus: 'disabled' }, 'membership_disabled'],
    ['a capability that is not reported is missing', {}, { capabilities: [] }, 'capability_missing'],
    [
      'a capability that the policy denies does not count',
      {},
      { deniedCapabilities: ['can_run_vpn_exit'] },
      'capability_denied',
    ],
    [
      'a denied capability is denied, reported or not',
      {},
      { capabilities: [], deniedCapabilities: ['can_run_vpn_exit'] },
      'capability_denied',
    ],
    [
      'a denied capability that the role does not need is nothing to it',
      {},
      { deniedCapabilities: ['can_route_mesh'] },
      null,
    ],
    [
      'a role without required capabilities needs none',
      { requiredCapabilities: [] },
      { capabilities: [] },
      null,
    ],
    ['the range begins at validFrom', { validFrom: now }, {}, null],
    ['before validFrom it does not hold yet', { validFrom: after }, {}, 'not_yet_valid'],
    ['just before validUntil it still holds', { validUntil: after }, {}, null],
    ['at validUntil it is over', { validUntil: now }, {}, 'no_longer_valid'],
  ])('%s', (_, change, node, reason) => {
    expect(ineffectiveReason({ ...grant, ...change }, { ...able, ...node }, now)).toBe(reason);
  });
});

const instants = fc.constantFrom(null, before, now, after);
const names = fc.subarray(['can_run_vpn_exit', 'can_route_mesh', 'can_run_ssh_worker']);
const grants = fc.record({
  status: fc.constantFrom('active' as const, 'disabled' as const),
  validFrom: instants,
  validUntil: instants,
  requiredCapabilities: names,
});
const bearers = fc.record({
  membershipStatus: fc.constantFrom('active' as const, 'disabled' as const, 'revoked' as const),
  capabilities: names,
  deniedCapabilities: names,
});

describe('grantedRoles', () => {
  it('holds exactly the grants that nothing but time keeps from being effective', () => {
    fc.assert(
      fc.property(fc.array(grants), bearers, (list, bearer) => {
        const { capabilities, deniedCapabilities, membershipStatus } = bearer;
        const granted = grantedRoles(list, capabilities, deniedCapabilities, membershipStatus);
        const untimely: (string | null)[] = [null, 'not_yet_valid', 'no_longer_valid'];
        expect(granted).toEqual(
          list.filter((each) => untimely.includes(ineffectiveReason(each, bearer, now))),
        );
      }),
    );
  });

  it('gives nothing to a member that is not active', () => {
    fc.assert(
      fc.property(
        fc.array(grants),
        names,
        fc.constantFrom('disabled' as const, 'revoked' as const),
        (list, able, status) => {
          expect(grantedRoles(list, able, [], status)).toEqual([]);
        },
      ),
    );
  });

  it('never loses a role to one capability more', () => {
    fc.assert(
      fc.property(
        fc.array(grants),
        bearers,
        (list, { capabilities, deniedCapabilities, membershipStatus }) => {
          const fewer = grantedRoles(list, capabilities, deniedCapabilities, membershipStatus);
          const more = grantedRoles(
            list,
            [...capabilities, 'can_route_mesh'],
            deniedCapabilities,
            membershipStatus,
          );
          expect(more).toEqual(expect.arrayContaining(fewer));
        },
      ),
    );
  });
});

describe('the tables', () => {
  it('lets an assignment be switched off and on', () => {
    expect(NEXT).toEqual({ active: ['disabled'], disabled: ['active'] });
  });

  it('names every reason once', () => {
    expect(new Set(INEFFECTIVE_REASONS).size).toBe(INEFFECTIVE_REASONS.length);
  });

  it('has the roles of the contract with what they require', () => {
    const required = Object.fromEntries(
      ROLE_NAMES.map((name) => [name, ROLE_CATALOGUE[name].requiredCapabilities]),
    );
    expect(required).toEqual({
      'admin-ingress': ['can_accept_client_ingress'],
      'config-storage': [],
      'core-mesh': ['can_route_mesh'],
      'entry-node': ['can_accept_client_ingress'],
      'file-storage-cache': ['can_run_file_cache'],
      'rdp-worker': ['can_run_rdp_worker'],
      'relay-node': ['can_route_mesh'],
      'ssh-worker': ['can_run_ssh_worker'],
      'update-cache': ['can_run_update_cache'],
      'video-relay': ['can_run_video_relay'],
      'vnc-worker': ['can_run_vnc_worker'],
      'vpn-connector': ['can_run_vpn_connector'],
      'vpn-exit': ['can_run_vpn_exit'],
    });
    for (const name of ROLE_NAMES) expect(ROLE_CATALOGUE[name].serviceTypes).toEqual([name]);
  });

  it('lets every role go without a policy, and takes no member that it does not know', () => {
    for (const name of ROLE_NAMES) {
      expect(policyFaults(name, {})).toEqual([]);
      expect(policyFaults(name, { weight: 10, 'x-ticket': 'OPS-17' })).toEqual([]);
      expect(policyFaults(name, { maxSesions: 1 })).toEqual([
        { path: ['maxSesions'], message: 'Unknown member.' },
      ]);
    }
  });

  it('lists roles by name, as pages need them', () => {
    expect([...ROLE_NAMES].sort()).toEqual([...ROLE_NAMES]);
  });
});
