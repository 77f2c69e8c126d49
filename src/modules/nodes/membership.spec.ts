import { describe, expect, it } from '@jest/globals';
import {
  type Membership,
  type MembershipStatus,
  NEXT_MEMBERSHIP_STATUS,
  nodeReported,
  nodeRevoked,
  nodeSwitched,
  nodeUpdated,
} from './membership.js';

const member: Membership = {
  clusterId: 'c',
  nodeId: 'n',
  name: 'edge-1',
  membershipStatus: 'active',
  groupId: null,
  labels: { site: 'msk' },
  telemetryEnabled: false,
  capabilities: ['can_route_mesh', 'can_run_vpn_exit'],
  facts: { os: 'linux', cpuCount: 4 },
};
const { name, groupId, labels, telemetryEnabled } = member;
const settings = { name, groupId, labels, telemetryEnabled };

describe('a membership', () => {
  it('goes between active and disabled, and never back from revoked', () => {
    const statuses: MembershipStatus[] = ['active', 'disabled', 'revoked'];
    const allowed = statuses.flatMap((from) =>
      statuses.filter((to) => NEXT_MEMBERSHIP_STATUS[from].includes(to)).map((to) => `${from} > ${to}`),
    );
    expect(allowed).toEqual([
      'active > disabled',
      'active > revoked',
      'disabled > active',
      'disabled > revoked',
    ]);
  });
});

describe('the event of changed settings', () => {
  it('is none when nothing has changed', () =>
    expect(nodeUpdated(member, { ...settings, labels: { site: 'msk' } })).toBeNull());

  it.each([
    ['name', 'edge-2'],
    ['groupId', 'g'],
    ['labels', { site: 'spb' }],
    ['telemetryEnabled', true],
  ])('holds %s alone when that has changed', (key, value) => {
    expect(nodeUpdated(member, { ...settings, [key]: value })).toEqual({
      action: 'node.updated',
      resource: { type: 'node', id: 'n', name: 'edge-1' },
      clusterId: 'c',
      outcome: 'success',
      reason: null,
      before: { [key]: member[key as keyof Membership] },
      after: { [key]: value },
    });
  });
});

describe('the event of a switch', () => {
  it('says from what to what, and why', () => {
    expect(nodeSwitched(member, 'disabled', 'Maintenance.')).toMatchObject({
      action: 'node.disabled',
      reason: 'Maintenance.',
      before: { membershipStatus: 'active' },
      after: { membershipStatus: 'disabled' },
    });
    expect(nodeSwitched({ ...member, membershipStatus: 'disabled' }, 'active', null)).toMatchObject({
      action: 'node.enabled',
      reason: null,
    });
    expect(nodeRevoked(member, 'Stolen.', 7)).toMatchObject({
      action: 'node.revoked',
      reason: 'Stolen.',
      after: { membershipStatus: 'revoked', revocationEpoch: 7 },
    });
  });
});

describe('the events of a report', () => {
  const { capabilities, facts } = member;

  it('are none when it says what is known, in whatever order', () => {
    expect(nodeReported(member, capabilities, { ...facts })).toEqual([]);
    expect(nodeReported(member, [...capabilities].reverse(), { cpuCount: 4, os: 'linux' })).toEqual([]);
    expect(nodeReported(member, [...capabilities, ...capabilities], facts)).toEqual([]);
  });

  it('tell of other capabilities', () => {
    expect(nodeReported(member, ['can_route_mesh'], facts)).toMatchObject([
      {
        action: 'node.capabilities_changed',
        before: { capabilities },
        after: { capabilities: ['can_route_mesh'] },
      },
    ]);
    expect(nodeReported(member, [...capabilities, 'can_run_file_cache'], facts)).toHaveLength(1);
  });

  it('tell of the facts that differ, and of no others', () => {
    expect(nodeReported(member, capabilities, { os: 'linux', kernel: '6.1' })).toMatchObject([
      {
        action: 'node.facts_changed',
        before: { facts: { cpuCount: 4, kernel: null } },
        after: { facts: { cpuCount: null, kernel: '6.1' } },
      },
    ]);
  });

  it('are two when both differ', () => {
    expect(nodeReported(member, [], {}).map(({ action }) => action)).toEqual([
      'node.capabilities_changed',
      'node.facts_changed',
    ]);
  });
});
