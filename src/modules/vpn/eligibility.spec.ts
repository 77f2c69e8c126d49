import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { roleBearer, roleGrant } from '../../../test/support/role-grants.js';
import type { RoleGrant } from '../roles/role-assignment.js';
import {
  type Candidate,
  eligibleUntil,
  fittingGrants,
  type HeldConnection,
  type IneligibleReason,
  ineligibleReasons,
} from './eligibility.js';

const at = (seconds: number) => new Date(Date.UTC(2026, 10, 28, 8) + seconds * 1_000);
const now = at(0);
const grant = roleGrant();
const exit: HeldConnection = { kind: 'exit', organizationId: null, desiredState: 'enabled' };
const able: Candidate = { ...roleBearer(), isAllowed: true, grants: [grant] };

describe('eligibility', () => {
  it.each<[string, Partial<HeldConnection>, Partial<Candidate>, IneligibleReason[]]>([
    ['needs nothing more than all of it', {}, {}, []],
    ['needs an enabled connection', { desiredState: 'disabled' }, {}, ['connection_disabled']],
    ['needs a member', {}, { membershipStatus: null }, ['not_a_member']],
    ['needs a member that is not disabled', {}, { membershipStatus: 'disabled' }, ['membership_disabled']],
    ['needs a member that is not revoked', {}, { membershipStatus: 'revoked' }, ['membership_revoked']],
    ['needs to be allowed', {}, { isAllowed: false }, ['not_allowed']],
    ['needs a role', {}, { grants: [] }, ['role_missing']],
    ['needs the role of the kind', { kind: 'connector' }, {}, ['role_missing']],
    [
      'needs a role that is not disabled',
      {},
      { grants: [{ ...grant, status: 'disabled' }] },
      ['role_disabled'],
    ],
    ['needs the capability', {}, { capabilities: [] }, ['capability_missing']],
    [
      'needs a capability that is not denied',
      {},
      { deniedCapabilities: ['can_run_vpn_exit'] },
      ['capability_denied'],
    ],
    ['begins with the role', {}, { grants: [{ ...grant, validFrom: at(1) }] }, ['role_not_yet_valid']],
    ['begins at the instant of the role', {}, { grants: [{ ...grant, validFrom: now }] }, []],
    ['ends with the role', {}, { grants: [{ ...grant, validUntil: now }] }, ['role_no_longer_valid']],
    [
      'is given by one role of several',
      {},
      { grants: [{ ...grant, status: 'disabled' }, { ...grant, validUntil: now }, grant] },
      [],
    ],
    [
      'is not given by a role for an organization',
      {},
      { grants: [{ ...grant, organizationId: 'a' }] },
      ['role_missing'],
    ],
    [
      'is given by a role for the same organization',
      { organizationId: 'a' },
      { grants: [{ ...grant, organizationId: 'a' }] },
      [],
    ],
    ['is given by a role for all', { organizationId: 'a' }, {}, []],
    [
      'is not given by a role for another organization',
      { organizationId: 'a' },
      { grants: [{ ...grant, organizationId: 'b' }] },
      ['role_missing'],
    ],
    [
      'tells everything that is missing, the most deliberate first',
      { desiredState: 'disabled' },
      { membershipStatus: 'disabled', isAllowed: false, grants: [] },
      ['connection_disabled', 'membership_disabled', 'not_allowed', 'role_missing'],
    ],
  ])('%s', (_, connection, candidate, reasons) => {
    expect(ineligibleReasons({ ...exit, ...connection }, { ...able, ...candidate }, now)).toEqual(reasons);
  });
});

describe('the end of eligibility', () => {
  const bounded = (from: number | null, until: number | null): RoleGrant => ({
    ...grant,
    validFrom: from === null ? null : at(from),
    validUntil: until === null ? null : at(until),
  });
  it.each<[string, RoleGrant[], Date | null]>([
    ['is never without a bound', [bounded(null, null)], null],
    ['is that of the only role', [bounded(null, 10)], at(10)],
    [
      'is that of the last of roles that follow each other',
      [bounded(null, 10), bounded(10, 20), bounded(15, 30)],
      at(30),
    ],
    ['is never where an unbounded one follows', [bounded(null, 10), bounded(5, null)], null],
    ['is before a gap', [bounded(null, 10), bounded(11, 20)], at(10)],
    [
      'does not count roles that are disabled',
      [bounded(null, 10), { ...bounded(null, null), status: 'disabled' }],
      at(10),
    ],
    [
      'does not count roles that do not fit',
      [bounded(null, 10), { ...bounded(null, null), role: 'vpn-connector' }],
      at(10),
    ],
  ])('%s', (_, grants, until) => {
    expect(eligibleUntil(exit, { ...able, grants }, now)).toEqual(until);
  });

  const instants = fc.option(fc.integer({ min: -20, max: 40 }));
  const grants = fc.array(
    fc
      .tuple(instants, instants, fc.constantFrom('active' as const, 'disabled' as const))
      .map(([from, until, status]) => ({ ...bounded(from, until), status })),
    { maxLength: 6 },
  );

  it('is the first instant at which an eligible node is not eligible any more', () => {
    fc.assert(
      fc.property(grants, (list) => {
        const candidate = { ...able, grants: list };
        const isEligible = (seconds: number) => ineligibleReasons(exit, candidate, at(seconds)).length === 0;
        fc.pre(isEligible(0));
        // Every bound is a whole second, so that nothing happens between two of them.
        const first = Array.from({ length: 60 }, (_, seconds) => seconds).find(
          (seconds) => !isEligible(seconds),
        );
        expect(eligibleUntil(exit, candidate, now)).toEqual(first === undefined ? null : at(first));
      }),
    );
  });

  it('finds the same roles that a list of connections is made by', () => {
    expect(fittingGrants(exit, [grant, { ...grant, role: 'ssh-worker' }])).toEqual([grant]);
  });
});
