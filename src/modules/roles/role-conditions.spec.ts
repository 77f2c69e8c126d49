import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { ADMIN_INGRESS, type AdminIngressFacts } from './admin-ingress.js';
import {
  INEFFECTIVE_REASONS,
  ineffectiveReason,
  type RoleAssignment,
  type RoleBearer,
} from './role-assignment.js';
import { ROLE_NAMES } from './role-catalogue.js';
import { CONDITION_NAMES } from './role-condition.js';
import { roleConditions } from './role-conditions.js';
import { roleGrant } from './roles.read-model.js';

const now = new Date('2026-11-23T08:00:00.000Z');
const before = new Date(now.getTime() - 1);
const after = new Date(now.getTime() + 1);
const assignment: RoleAssignment = {
  id: '019ab0c4-7e11-7a52-8d3f-5a0d7f0f3c21',
  clusterId: '019ab0c4-7e11-7a52-8d3f-5a0d7f0f3c22',
  nodeId: '019ab0c4-7e11-7a52-8d3f-5a0d7f0f3c23',
  role: ADMIN_INGRESS,
  organizationId: null,
  status: 'active',
  policy: {},
  validFrom: null,
  validUntil: null,
  assignedAt: before,
  assignedBy: { type: 'bootstrap', id: 'bootstrap' },
};
const bearer: RoleBearer = {
  membershipStatus: 'active',
  capabilities: ['can_accept_client_ingress'],
  deniedCapabilities: [],
};
const ingress: AdminIngressFacts = {
  clusterId: assignment.clusterId,
  nodeId: assignment.nodeId,
  authorityState: 'authoritative',
  isSigning: true,
  generation: 7,
  generationChangedAt: before,
  appliedGeneration: 7,
  patienceSeconds: 90,
  certificateEndsAt: after,
  health: 'online',
  rolesMissing: [],
};
const failing = (facts: Partial<AdminIngressFacts>) =>
  roleConditions(assignment, { bearer, ingress: { ...ingress, ...facts } }, now)
    .filter(({ holds }) => !holds)
    .map(({ name, reason }) => [name, reason]);
const changedAt = (secondsAgo: number) => new Date(now.getTime() - secondsAgo * 1000);

describe('the conditions of admin-ingress', () => {
  it('are six: the assignment and what is around the node', () => {
    const all = roleConditions(assignment, { bearer, ingress }, now);
    expect(all.map(({ name }) => name)).toEqual([...CONDITION_NAMES]);
    expect(all.every(({ holds, reason }) => holds && reason === null)).toBe(true);
  });

  it.each<[string, Partial<AdminIngressFacts>, string, string]>([
    [
      'authority that is degraded',
      { authorityState: 'degraded' },
      'authority_healthy',
      'cluster_not_authoritative',
    ],
    [
      'authority on its way back',
      { authorityState: 'recovering' },
      'authority_healthy',
      'cluster_not_authoritative',
    ],
    [
      'a cluster that signs nothing',
      { isSigning: false },
      'snapshots_signed_and_current',
      'snapshot_not_current',
    ],
    [
      'a node that never said what it applied',
      { appliedGeneration: null },
      'snapshots_signed_and_current',
      'snapshot_not_current',
    ],
    [
      'a node that had its time to follow a change',
      { appliedGeneration: 6, generationChangedAt: changedAt(90) },
      'snapshots_signed_and_current',
      'snapshot_not_current',
    ],
    [
      'a node that has applied what there is not',
      { appliedGeneration: 8 },
      'snapshots_signed_and_current',
      'snapshot_not_current',
    ],
    ['no certificate', { certificateEndsAt: null }, 'certificate_valid', 'certificate_not_valid'],
    ['a certificate that ends now', { certificateEndsAt: now }, 'certificate_valid', 'certificate_not_valid'],
    ['a node that is late', { health: 'stale' }, 'node_current', 'node_not_current'],
    ['a node that is away', { health: 'offline' }, 'node_current', 'node_not_current'],
    ['a node that never reported', { health: 'unknown' }, 'node_current', 'node_not_current'],
    [
      'a gap in another role',
      { rolesMissing: ['vpn-exit'] },
      'role_coverage_exists',
      'role_coverage_missing',
    ],
  ])('fail for %s', (_, facts, name, reason) => {
    expect(failing(facts)).toEqual([[name, reason]]);
  });

  it('hold while a node follows a change, and on a node with a risky state', () => {
    expect(failing({ appliedGeneration: 6, generationChangedAt: changedAt(89.999) })).toEqual([]);
    expect(failing({ health: 'degraded' })).toEqual([]);
  });
});

describe('the conditions of every role', () => {
  const names = ['can_run_vpn_exit', 'can_route_mesh', 'can_accept_client_ingress'];
  const instants = fc.constantFrom(null, before, now, after);
  const assignments = fc
    .record({
      role: fc.constantFrom(...ROLE_NAMES),
      status: fc.constantFrom('active' as const, 'disabled' as const),
      validFrom: instants,
      validUntil: instants,
    })
    .map((change) => ({ ...assignment, ...change }));
  const bearers = fc.record({
    membershipStatus: fc.constantFrom('active' as const, 'disabled' as const, 'revoked' as const),
    capabilities: fc.subarray(names),
    deniedCapabilities: fc.subarray(names),
  });

  it('name first the reason that every other part of the service goes by', () => {
    fc.assert(
      fc.property(assignments, bearers, (one, node) => {
        const first = roleConditions(one, { bearer: node, ingress: null }, now).find(({ holds }) => !holds);
        expect(first?.reason ?? null).toBe(ineffectiveReason(roleGrant(one), node, now));
      }),
    );
  });

  it('can each be the reason', () => {
    const possible = new Set<string>();
    fc.assert(
      fc.property(assignments, bearers, (one, node) => {
        for (const { reason } of roleConditions(one, { bearer: node, ingress: null }, now))
          if (reason !== null) possible.add(reason);
      }),
      { numRuns: 500 },
    );
    const all = {
      authorityState: 'fenced',
      isSigning: false,
      health: 'offline',
      rolesMissing: ['x'],
    } as const;
    for (const [, reason] of failing({ ...all, certificateEndsAt: null })) possible.add(String(reason));
    expect([...possible].sort()).toEqual([...INEFFECTIVE_REASONS].sort());
  });
});
