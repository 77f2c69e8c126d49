import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { ROLE_NAMES, type RoleName } from '../roles/role-catalogue.js';
import {
  composeNodeContent,
  contentHash,
  SECTIONS_OF_ROLE,
  type SnapshotFacts,
  type SnapshotRole,
} from './snapshot-content.js';

const role = (name: string, organizationId: string | null = null): SnapshotRole => ({
  role: name,
  organizationId,
  policy: {},
  validFrom: null,
  validUntil: null,
});
const facts = (more: Partial<SnapshotFacts> = {}): SnapshotFacts => ({
  clusterId: 'c',
  nodeId: 'n',
  name: 'edge-1',
  membershipStatus: 'active',
  telemetryEnabled: false,
  roles: [],
  ...more,
});

/** Which parts each role needs: written out once more by hand, so that nothing spreads unseen. */
const NEEDS: Record<RoleName, { services?: true; ingress?: true; storage?: true }> = {
  'admin-ingress': { ingress: true },
  'config-storage': { storage: true },
  'core-mesh': {},
  'entry-node': { ingress: true },
  'file-storage-cache': { storage: true },
  'rdp-worker': { services: true },
  'relay-node': {},
  'ssh-worker': { services: true },
  'update-cache': { storage: true },
  'video-relay': { services: true },
  'vnc-worker': { services: true },
  'vpn-connector': { services: true },
  'vpn-exit': { services: true },
};
const PARTS = ['services', 'ingress', 'storage'] as const;

describe('the content of a snapshot', () => {
  it('knows what every role of the catalogue needs', () => {
    expect(Object.keys(SECTIONS_OF_ROLE).sort()).toEqual([...ROLE_NAMES].sort());
  });

  it.each(Object.entries(NEEDS))('holds for %s what it needs, and nothing else', (name, needs) => {
    const content = composeNodeContent(facts({ roles: [role(name)] }));
    for (const part of PARTS) expect(part in content).toBe(needs[part] === true);
  });

  it('brings no part to a node none of whose roles needs it', () => {
    fc.assert(
      fc.property(fc.subarray([...ROLE_NAMES]), (names) => {
        const content = composeNodeContent(facts({ roles: names.map((name) => role(name)) }));
        for (const part of PARTS)
          expect(part in content).toBe(names.some((name) => NEEDS[name][part] === true));
        const services = names.filter((name) => NEEDS[name].services === true).sort();
        expect((content.services ?? []).map(({ serviceType }) => serviceType)).toEqual(services);
      }),
    );
  });

  it('holds nothing of a role that it does not know', () => {
    const content = composeNodeContent(facts({ roles: [role('constructor'), role('made-up')] }));
    for (const part of PARTS) expect(content).not.toHaveProperty(part);
  });

  it('has no roles and no parts while the membership is disabled', () => {
    fc.assert(
      fc.property(fc.subarray([...ROLE_NAMES]), (names) => {
        const disabled = composeNodeContent(
          facts({ membershipStatus: 'disabled', roles: names.map((name) => role(name)) }),
        );
        expect(disabled).toEqual(composeNodeContent(facts({ membershipStatus: 'disabled' })));
        expect(disabled).toMatchObject({
          membership: { status: 'disabled' },
          roles: [],
          workloads: [],
          vpnAssignments: [],
        });
      }),
    );
  });

  it('does not depend on the order in which roles are found', () => {
    const roles = [...ROLE_NAMES.map((name) => role(name)), ...ROLE_NAMES.map((name) => role(name, 'org'))];
    const wanted = contentHash(composeNodeContent(facts({ roles })));
    fc.assert(
      fc.property(fc.shuffledSubarray(roles, { minLength: roles.length }), (shuffled) => {
        expect(contentHash(composeNodeContent(facts({ roles: shuffled })))).toEqual(wanted);
      }),
    );
  });

  it('names a service type once, however many organizations it is for', () => {
    const roles = [role('vpn-exit'), role('vpn-exit', 'a'), role('vpn-exit', 'b')];
    expect(composeNodeContent(facts({ roles })).services).toEqual([{ serviceType: 'vpn-exit' }]);
  });

  it('hashes to something else with anything else in it', () => {
    const hashes = [
      facts(),
      facts({ name: 'edge-2' }),
      facts({ telemetryEnabled: true }),
      facts({ membershipStatus: 'disabled' }),
      facts({ roles: [role('vpn-exit')] }),
      facts({ roles: [{ ...role('vpn-exit'), validUntil: '2026-11-23T08:00:00.000Z' }] }),
      facts({ roles: [{ ...role('vpn-exit'), policy: { a: 1 } }] }),
    ].map((each) => contentHash(composeNodeContent(each)).toString('hex'));
    expect(new Set(hashes).size).toBe(hashes.length);
  });
});
