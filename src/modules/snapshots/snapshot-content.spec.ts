import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { ROLE_NAMES, type RoleName } from '../roles/role-catalogue.js';
import type { SnapshotWorkload } from '../workloads/workloads.schema.js';
import {
  type Available,
  composeNodeContent,
  contentHash,
  NOTHING_AVAILABLE,
  type NodeContent,
  type SnapshotFacts,
} from './snapshot-content.js';
import type { SnapshotRole, SnapshotUpdate, SnapshotVpnAssignment } from './snapshot-items.schema.js';

const role = (name: string, organizationId: string | null = null): SnapshotRole => ({
  role: name,
  organizationId,
  policy: {},
  validFrom: null,
  validUntil: null,
});
const workload = (serviceType: string): SnapshotWorkload => ({
  serviceType,
  desiredState: 'running',
  runtime: 'native',
  version: null,
  config: { of: serviceType },
  secretRefs: {},
  healthCheck: null,
  restartPolicy: { mode: 'always', initialDelaySeconds: 1, maxDelaySeconds: 60, resetAfterSeconds: 600 },
  whenControlPlaneLost: 'keep',
  privileged: false,
});
const connection = (connectionId: string, kind: 'exit' | 'connector'): SnapshotVpnAssignment => ({
  connectionId,
  name: connectionId,
  kind,
  desiredState: 'enabled',
  hasCredentialRef: true,
  leaseTtlSeconds: 30,
  routePolicies: [],
});
/** Something for every member, so that whatever spreads is seen. */
const everything: Available = {
  workloads: [...ROLE_NAMES, 'unheard-of'].map(workload),
  vpnAssignments: [connection('c1', 'exit'), connection('c2', 'connector')],
  peers: [{ nodeId: 'p', roles: ['core-mesh'], endpoints: [] }],
  routePolicy: { metric: 1 },
  qosPolicy: { class: 'gold' },
  updates: [],
  services: ROLE_NAMES.map((serviceType) => ({
    serviceType,
    resourceRefs: [`${serviceType}/resource`],
    connectorRefs: [],
  })),
  ingress: { entryPolicies: ['all'], tokenValidation: null, routeEntries: ['here'] },
  storage: { scopes: ['one'], replication: null },
  mirror: {
    files: [{ product: 'p', version: '1.0.0', sha256: 'd', size: 1, path: '/d' }],
  },
  updateCaches: [{ nodeId: 'near', url: 'https://near', spiffeId: 'spiffe://c/node/near' }],
};
const facts = (more: Partial<SnapshotFacts> = {}): SnapshotFacts => ({
  clusterId: 'c',
  nodeId: 'n',
  name: 'edge-1',
  membershipStatus: 'active',
  telemetryEnabled: false,
  roles: [],
  available: everything,
  ...more,
});

/** What each kind of role needs, by the specification: written out once more by hand, so that nothing spreads unseen. */
interface Received {
  workloads: readonly string[];
  services: readonly string[] | null;
  vpnAssignments: readonly string[];
  peers: readonly string[];
  routePolicy: object;
  qosPolicy: object;
  ingress: Available['ingress'] | null;
  storage: Available['storage'] | null;
  mirror: Available['mirror'] | null;
}
const nothing: Received = {
  workloads: [],
  services: null,
  vpnAssignments: [],
  peers: [],
  routePolicy: {},
  qosPolicy: {},
  ingress: null,
  storage: null,
  mirror: null,
};
const core = { peers: ['p'], routePolicy: { metric: 1 }, qosPolicy: { class: 'gold' } };
const { ingress, storage, mirror } = everything;
const NEEDS: Record<RoleName, Received> = {
  'core-mesh': { ...nothing, workloads: ['core-mesh'], ...core },
  'relay-node': { ...nothing, workloads: ['relay-node'], ...core },
  'entry-node': { ...nothing, workloads: ['entry-node'], ingress },
  'admin-ingress': { ...nothing, workloads: ['admin-ingress'], ingress },
  'rdp-worker': { ...nothing, workloads: ['rdp-worker'], services: ['rdp-worker/resource'] },
  'vnc-worker': { ...nothing, workloads: ['vnc-worker'], services: ['vnc-worker/resource'] },
  'ssh-worker': { ...nothing, workloads: ['ssh-worker'], services: ['ssh-worker/resource'] },
  'video-relay': { ...nothing, workloads: ['video-relay'], services: ['video-relay/resource'] },
  'vpn-exit': {
    ...nothing,
    workloads: ['vpn-exit'],
    services: ['vpn-exit/resource'],
    vpnAssignments: ['c1'],
  },
  'vpn-connector': {
    ...nothing,
    workloads: ['vpn-connector'],
    services: ['vpn-connector/resource'],
    vpnAssignments: ['c2'],
  },
  'config-storage': { ...nothing, workloads: ['config-storage'], storage },
  'file-storage-cache': { ...nothing, workloads: ['file-storage-cache'], storage },
  'update-cache': { ...nothing, workloads: ['update-cache'], storage, mirror },
};

/** What a node with both of what two nodes need receives. */
function both(one: Received, other: Received): Received {
  const list = (left: readonly string[], right: readonly string[]) =>
    [...new Set([...left, ...right])].sort();
  return {
    workloads: list(one.workloads, other.workloads),
    services: one.services === null ? other.services : list(one.services, other.services ?? []),
    vpnAssignments: list(one.vpnAssignments, other.vpnAssignments),
    peers: list(one.peers, other.peers),
    routePolicy: { ...one.routePolicy, ...other.routePolicy },
    qosPolicy: { ...one.qosPolicy, ...other.qosPolicy },
    ingress: one.ingress ?? other.ingress,
    storage: one.storage ?? other.storage,
    mirror: one.mirror ?? other.mirror,
  };
}

function received(content: NodeContent): Received {
  const { workloads, services, vpnAssignments, peers, routePolicy, qosPolicy } = content;
  return {
    workloads: workloads.map(({ serviceType }) => serviceType),
    services: services === undefined ? null : services.flatMap(({ resourceRefs }) => resourceRefs),
    vpnAssignments: vpnAssignments.map(({ connectionId }) => connectionId),
    peers: peers.map(({ nodeId }) => nodeId),
    routePolicy,
    qosPolicy,
    ingress: content.ingress ?? null,
    storage: content.storage ?? null,
    mirror: content.mirror ?? null,
  };
}

/** Members that every node has, whatever it does. */
const ALWAYS = ['schema', 'clusterId', 'nodeId', 'membership', 'roles', 'workloads', 'vpnAssignments'];
const EMPTY_WITHOUT_NEED = ['peers', 'routePolicy', 'qosPolicy', 'updates', 'telemetry'];
const pairs = ROLE_NAMES.flatMap((one) => ROLE_NAMES.map((other) => [one, other] as const));

describe('the content of a snapshot', () => {
  it.each(pairs)('holds for %s with %s what they need, and nothing else', (one, other) => {
    const content = composeNodeContent(
      facts({ roles: [...new Set([one, other])].map((name) => role(name)) }),
    );
    const wanted = both(NEEDS[one], NEEDS[other]);
    expect(received(content)).toEqual(wanted);
    const parts = ['services', 'ingress', 'storage', 'mirror'] as const;
    const sections = parts.filter((part) => wanted[part] !== null);
    expect(Object.keys(content).sort()).toEqual([...ALWAYS, ...EMPTY_WITHOUT_NEED, ...sections].sort());
  });

  it('tells of caches only beside updates, and of neither where a membership is disabled', () => {
    const update = { product: 'p' } as SnapshotUpdate;
    const available = { ...everything, updates: [update] };
    expect(composeNodeContent(facts({ available })).updateCaches).toEqual(everything.updateCaches);
    expect(composeNodeContent(facts()).updateCaches).toBeUndefined();
    const disabled = composeNodeContent(facts({ available, membershipStatus: 'disabled' }));
    expect(disabled).not.toHaveProperty('updateCaches');
    const alone = composeNodeContent(facts({ available: { ...available, updateCaches: [] } }));
    expect(alone).not.toHaveProperty('updateCaches');
  });

  it('adds up what any set of roles needs', () => {
    fc.assert(
      fc.property(fc.subarray([...ROLE_NAMES]), (names) => {
        const content = composeNodeContent(facts({ roles: names.map((name) => role(name)) }));
        const wanted = names.map((name) => NEEDS[name]).reduce(both, nothing);
        expect(received(content)).toEqual(wanted);
      }),
    );
  });

  it('is empty where nothing is there yet, and its sections are the same', () => {
    const content = composeNodeContent(
      facts({ roles: ROLE_NAMES.map((name) => role(name)), available: NOTHING_AVAILABLE }),
    );
    expect(content).toMatchObject({
      workloads: [],
      vpnAssignments: [],
      peers: [],
      routePolicy: {},
      qosPolicy: {},
    });
    expect(content.services?.map(({ serviceType }) => serviceType)).toEqual([
      'rdp-worker',
      'ssh-worker',
      'video-relay',
      'vnc-worker',
      'vpn-connector',
      'vpn-exit',
    ]);
    expect(content.ingress).toEqual({ entryPolicies: [], tokenValidation: null, routeEntries: [] });
    expect(content.storage).toEqual({ scopes: [], replication: null });
  });

  it('holds a diagnostic workload for any role, and for none without a role', () => {
    const available = { ...everything, workloads: [workload('synthetic.echo')] };
    for (const name of ROLE_NAMES)
      expect(composeNodeContent(facts({ roles: [role(name)], available })).workloads).toHaveLength(1);
    expect(composeNodeContent(facts({ available })).workloads).toEqual([]);
  });

  it('holds nothing of a role that it does not know', () => {
    const content = composeNodeContent(facts({ roles: [role('constructor'), role('unheard-of')] }));
    expect(received(content)).toEqual(nothing);
  });

  it('has no roles and nothing for them while the membership is disabled', () => {
    fc.assert(
      fc.property(fc.subarray([...ROLE_NAMES]), (names) => {
        const disabled = composeNodeContent(
          facts({ membershipStatus: 'disabled', roles: names.map((name) => role(name)) }),
        );
        expect(disabled.membership.status).toBe('disabled');
        expect([disabled.roles, disabled.updates, received(disabled)]).toEqual([[], [], nothing]);
      }),
    );
  });

  it('does not depend on the order in which anything is found', () => {
    const roles = [...ROLE_NAMES.map((name) => role(name)), ...ROLE_NAMES.map((name) => role(name, 'org'))];
    const wanted = contentHash(composeNodeContent(facts({ roles })));
    const shuffled = <T>(items: readonly T[]) => fc.shuffledSubarray([...items], { minLength: items.length });
    fc.assert(
      fc.property(
        shuffled(roles),
        shuffled(everything.workloads),
        shuffled(everything.vpnAssignments),
        shuffled(everything.services),
        (found, workloads, vpnAssignments, services) => {
          const available = { ...everything, workloads, vpnAssignments, services };
          expect(contentHash(composeNodeContent(facts({ roles: found, available })))).toEqual(wanted);
        },
      ),
    );
  });

  it('names a service type once, however many organizations it is for', () => {
    const roles = [role('vpn-exit'), role('vpn-exit', 'a'), role('vpn-exit', 'b')];
    expect(composeNodeContent(facts({ roles })).services).toHaveLength(1);
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
      facts({ roles: [role('vpn-exit')], available: { ...everything, workloads: [] } }),
    ].map((each) => contentHash(composeNodeContent(each)).toString('hex'));
    expect(new Set(hashes).size).toBe(hashes.length);
  });
});
