/** The built-in roles of people and scripts. */
export const PRINCIPAL_ROLES = [
  'platform-owner',
  'recovery-admin',
  'platform-admin',
  'platform-operator',
  'platform-engineering',
  'auditor',
  'organization-admin',
  'organization-member',
] as const;
export type PrincipalRole = (typeof PRINCIPAL_ROLES)[number];

/** Where a permission can be held: over the whole platform only, or over one cluster as well. */
export type PermissionScope = 'platform' | 'cluster';

interface PermissionEntry {
  scope: PermissionScope;
  description: string;
  roles: readonly PrincipalRole[];
}

const ADMIN = ['platform-owner', 'platform-admin'] as const;
// Operators may do everything but create and delete the top-level containers (context.md, Aphex).
const OPERATOR = [...ADMIN, 'platform-operator'] as const;
// Engineering creates, reads and updates in its own scope; it deletes nothing.
const ENGINEERING = [...OPERATOR, 'platform-engineering'] as const;
const READER = [...ENGINEERING, 'recovery-admin', 'auditor'] as const;

const entry = (
  scope: PermissionScope,
  roles: readonly PrincipalRole[],
  description: string,
): PermissionEntry => ({
  scope,
  roles,
  description,
});

/** Every permission with the roles that hold it: the one place where it is decided who may do what. */
export const PERMISSIONS = {
  'api_tokens.create': entry('platform', ADMIN, 'Create API tokens, up to the own rights'),
  'api_tokens.read': entry('platform', [...ADMIN, 'auditor'], 'List API tokens'),
  'api_tokens.revoke': entry('platform', ADMIN, 'Revoke API tokens'),
  'audit.read': entry('cluster', [...OPERATOR, 'recovery-admin', 'auditor'], 'Read the audit log'),
  'authority.read': entry('cluster', READER, "Read a cluster's authority state"),
  'authority.transition': entry(
    'cluster',
    ['platform-owner', 'recovery-admin'],
    "Move a cluster's authority to another state",
  ),
  'channels.read': entry('cluster', READER, 'Read where the channels of a cluster point'),
  'channels.update': entry('cluster', OPERATOR, 'Point the channels of a cluster to other versions'),
  'cluster_policies.read': entry('cluster', READER, "Read a cluster's policy"),
  'cluster_policies.update': entry('cluster', ADMIN, "Change a cluster's policy"),
  'clusters.archive': entry('platform', ADMIN, 'Archive a cluster'),
  'clusters.create': entry('platform', ADMIN, 'Create a cluster'),
  'clusters.read': entry('cluster', READER, 'Read clusters and their summaries'),
  'clusters.update': entry('cluster', ENGINEERING, "Change a cluster's name, region, labels and metadata"),
  'emergency_pins.update': entry(
    'cluster',
    OPERATOR,
    'Pin many nodes to a version in an emergency, and lift such pins',
  ),
  'events.read': entry('cluster', READER, 'Follow the stream of changes'),
  'join_requests.approve': entry('cluster', OPERATOR, 'Approve join requests'),
  'join_requests.read': entry('cluster', READER, 'Read join requests'),
  'join_requests.reject': entry('cluster', OPERATOR, 'Reject join requests'),
  'join_tokens.auto_approve': entry('cluster', ADMIN, 'Create join tokens that admit nodes without a review'),
  'join_tokens.create': entry('cluster', ENGINEERING, 'Create join tokens'),
  'join_tokens.read': entry('cluster', READER, 'List join tokens'),
  'join_tokens.revoke': entry('cluster', OPERATOR, 'Revoke join tokens'),
  'node_groups.manage': entry('cluster', ENGINEERING, 'Create, change and remove node groups'),
  'node_groups.read': entry('cluster', READER, 'List node groups'),
  'nodes.disable': entry('cluster', OPERATOR, 'Disable and enable a membership'),
  'nodes.join_existing': entry(
    'platform',
    ADMIN,
    'Admit a node that is known from another cluster to one more',
  ),
  'nodes.read': entry('cluster', READER, 'Read the nodes of a cluster'),
  'nodes.revoke': entry(
    'cluster',
    [...OPERATOR, 'recovery-admin'],
    "Revoke a node's identity and membership",
  ),
  'nodes.update': entry('cluster', ENGINEERING, "Change a node's name, group and labels"),
  'overview.read': entry('platform', READER, 'Read how all clusters fare'),
  'platform_nodes.read': entry(
    'platform',
    [...OPERATOR, 'recovery-admin', 'auditor'],
    'Read physical nodes across clusters',
  ),
  'platform_nodes.revoke': entry(
    'platform',
    [...OPERATOR, 'recovery-admin'],
    'Revoke a physical node in every cluster',
  ),
  'platform_policy.read': entry('platform', READER, 'Read the policy of the platform'),
  'platform_policy.update': entry('platform', ADMIN, 'Change the policy of the platform'),
  'products.create': entry('platform', ADMIN, 'Create products'),
  'products.read': entry('platform', READER, 'Read products'),
  'products.update': entry('platform', ADMIN, 'Change how many keys must sign a release'),
  'releases.approve': entry('platform', OPERATOR, 'Approve releases'),
  'releases.block': entry('platform', [...OPERATOR, 'recovery-admin'], 'Block and unblock releases'),
  'releases.publish': entry('platform', ENGINEERING, 'Publish releases and upload their files'),
  'releases.read': entry('platform', READER, 'Read releases and download their files'),
  'risky_states.acknowledge': entry('cluster', OPERATOR, 'Acknowledge risky states'),
  'role_assignments.create': entry('cluster', OPERATOR, 'Assign roles to nodes'),
  'role_assignments.delete': entry('cluster', OPERATOR, 'Remove role assignments'),
  'role_assignments.read': entry('cluster', READER, 'Read role assignments and the role catalogue'),
  'role_assignments.update': entry('cluster', OPERATOR, 'Disable and enable role assignments'),
  'role_coverage.read': entry('cluster', READER, 'Read how many nodes fill each role'),
  'role_coverage.update': entry('cluster', OPERATOR, 'Say how many nodes are to fill a role'),
  'signing_keys.create': entry('platform', ADMIN, 'Register keys that sign releases'),
  'signing_keys.read': entry('platform', READER, 'Read the keys that sign releases'),
  'signing_keys.revoke': entry('platform', [...ADMIN, 'recovery-admin'], 'Revoke keys that sign releases'),
  'rollouts.approve': entry('cluster', OPERATOR, 'Approve rollouts and their waves'),
  'rollouts.create': entry('cluster', ENGINEERING, 'Draft rollouts and submit them'),
  'rollouts.read': entry('cluster', READER, 'Plan rollouts and read how they fare'),
  'rollouts.run': entry(
    'cluster',
    OPERATOR,
    'Start, pause, resume, take back and cancel rollouts, and decide about lost and fenced nodes',
  ),
  'snapshots.read': entry('cluster', READER, "Read a node's decoded snapshot"),
  'trust.read': entry('cluster', READER, "Read a cluster's authorities, certificates and revocations"),
  'trust.rotate': entry(
    'cluster',
    [...ADMIN, 'recovery-admin'],
    "Rotate a cluster's certificate authority and snapshot key",
  ),
  'version_pins.update': entry('cluster', OPERATOR, 'Keep nodes on a version, and let them go'),
  'vpn_connections.create': entry('cluster', ENGINEERING, 'Create VPN connections'),
  'vpn_connections.delete': entry('cluster', OPERATOR, 'Delete VPN connections'),
  'vpn_connections.read': entry('cluster', READER, 'Read VPN connections and their candidates'),
  'vpn_connections.update': entry(
    'cluster',
    ENGINEERING,
    'Change VPN connections, their allowed nodes and route policies',
  ),
  'vpn_leases.acquire': entry('cluster', ADMIN, 'Acquire the lease of a VPN connection for a node'),
  'vpn_leases.fence': entry(
    'cluster',
    ['platform-owner', 'recovery-admin'],
    'End the lease of a VPN connection and make its tokens worthless',
  ),
  'vpn_leases.handover': entry(
    'cluster',
    [...OPERATOR, 'recovery-admin'],
    'Ask the holder of a VPN connection to make room for another node',
  ),
  'vpn_leases.read': entry('cluster', READER, 'Read the leases of VPN connections'),
  'vpn_leases.release': entry('cluster', ADMIN, 'Release the lease of a VPN connection for its holder'),
  'vpn_leases.renew': entry('cluster', ADMIN, 'Renew the lease of a VPN connection for its holder'),
  'workloads.delete': entry('cluster', OPERATOR, 'Take the workloads of nodes away'),
  'workloads.read': entry('cluster', READER, 'Read the workloads of nodes and what is reported of them'),
  'workloads.read_logs': entry('cluster', ENGINEERING, 'Read what workloads wrote last'),
  'workloads.update': entry('cluster', ENGINEERING, 'Say what is to run on nodes'),
} as const satisfies Record<string, PermissionEntry>;

/** Name of a permission, `<resource>.<verb>`. */
export type Permission = keyof typeof PERMISSIONS;

/** All permissions, sorted by name. */
export const ALL_PERMISSIONS = Object.keys(PERMISSIONS) as Permission[];

/** What a role may do. */
export function permissionsOfRole(role: PrincipalRole): ReadonlySet<Permission> {
  return new Set(
    ALL_PERMISSIONS.filter((name) => (PERMISSIONS[name].roles as readonly string[]).includes(role)),
  );
}

/** The role of the bootstrap token: it holds every permission. */
export const OWNER_ROLE: PrincipalRole = 'platform-owner';
