import { ROLE_CATALOGUE, type RoleName } from '../roles/role-catalogue.js';
import { coveredTypes } from '../workloads/workload-cover.js';

/** Members of a snapshot that a node receives for its roles alone. */
export const ROLE_MEMBERS = [
  'workloads',
  'vpnAssignments',
  'peers',
  'routePolicy',
  'qosPolicy',
  'services',
  'ingress',
  'storage',
  'mirror',
] as const;
export type RoleMember = (typeof ROLE_MEMBERS)[number];

// Of the cluster's version, which the specification names too, every snapshot tells by term and generation.
const CORE = ['workloads', 'peers', 'routePolicy', 'qosPolicy'] as const;
const INGRESS = ['workloads', 'ingress'] as const;
const SERVICE = ['workloads', 'services'] as const;
const EGRESS = ['workloads', 'services', 'vpnAssignments'] as const;
const STORAGE = ['workloads', 'storage'] as const;
const CACHE = [...STORAGE, 'mirror'] as const;

/**
 * What each role needs to know, and nothing beyond it (specification, "Node-Local State and Scoped Configuration").
 * Of lists that are about services a role receives only the items of its own service types.
 */
export const MEMBERS_OF_ROLE: Readonly<Record<RoleName, readonly RoleMember[]>> = {
  'core-mesh': CORE,
  'relay-node': CORE,
  'entry-node': INGRESS,
  'admin-ingress': INGRESS,
  'rdp-worker': SERVICE,
  'vnc-worker': SERVICE,
  'ssh-worker': SERVICE,
  'video-relay': SERVICE,
  'vpn-exit': EGRESS,
  'vpn-connector': EGRESS,
  'file-storage-cache': STORAGE,
  'update-cache': CACHE,
  'config-storage': STORAGE,
};

/** The kind of VPN connection that a role may hold. */
export const CONNECTION_KIND: Readonly<Partial<Record<RoleName, 'exit' | 'connector'>>> = {
  'vpn-exit': 'exit',
  'vpn-connector': 'connector',
};

/** What a node needs to know for all of its roles. */
export interface Needs {
  members: ReadonlySet<RoleMember>;
  /** Service types whose workloads it may run. */
  workloadTypes: ReadonlySet<string>;
  /** Service types that have an item among its `services`. */
  serviceTypes: ReadonlySet<string>;
  connectionKinds: ReadonlySet<string>;
}

/** The needs of a node with these roles. */
export function needsOf(roles: readonly RoleName[]): Needs {
  const withMember = (member: RoleMember) => roles.filter((role) => MEMBERS_OF_ROLE[role].includes(member));
  return {
    members: new Set(roles.flatMap((role) => MEMBERS_OF_ROLE[role])),
    workloadTypes: new Set(withMember('workloads').flatMap(coveredTypes)),
    serviceTypes: new Set(withMember('services').flatMap((role) => ROLE_CATALOGUE[role].serviceTypes)),
    connectionKinds: new Set(withMember('vpnAssignments').flatMap((role) => CONNECTION_KIND[role] ?? [])),
  };
}
