import type { PublishedSchema } from '../../common/json/schema-check.js';
import { ROLE_POLICY_SCHEMAS } from './role-policy.js';

/** What a role is, whichever node has it. */
export interface RoleDefinition {
  description: string;
  /** The node must report all of them, and the cluster's policy must deny none. */
  requiredCapabilities: readonly string[];
  /** Workloads that a node with the role may run. */
  serviceTypes: readonly string[];
  /** Whether an assignment may be for one organization alone. */
  organizationScopable: boolean;
  /** JSON Schema of an assignment's `policy`. */
  policySchema: PublishedSchema;
}

/** Every role that a node can be given (API.md section 7), sorted. */
export const ROLE_NAMES = [
  'admin-ingress',
  'config-storage',
  'core-mesh',
  'entry-node',
  'file-storage-cache',
  'rdp-worker',
  'relay-node',
  'ssh-worker',
  'update-cache',
  'video-relay',
  'vnc-worker',
  'vpn-connector',
  'vpn-exit',
] as const;
export type RoleName = (typeof ROLE_NAMES)[number];

// What serves the fabric itself belongs to the platform; what serves people may be set apart for one organization.
const PLATFORM = false;
const SCOPABLE = true;

const entry = (
  description: string,
  requiredCapabilities: readonly string[],
  organizationScopable: boolean,
) => ({
  description,
  requiredCapabilities,
  organizationScopable,
});

const ENTRIES: Record<RoleName, Omit<RoleDefinition, 'serviceTypes' | 'policySchema'>> = {
  'admin-ingress': entry(
    'Accepts the connections of platform administrators.',
    ['can_accept_client_ingress'],
    PLATFORM,
  ),
  'config-storage': entry('Keeps signed configuration close to other nodes.', [], PLATFORM),
  'core-mesh': entry('Carries traffic between nodes in the core of the mesh.', ['can_route_mesh'], PLATFORM),
  'entry-node': entry(
    'Accepts the connections of clients into the fabric.',
    ['can_accept_client_ingress'],
    SCOPABLE,
  ),
  'file-storage-cache': entry('Caches files close to those who use them.', ['can_run_file_cache'], SCOPABLE),
  'rdp-worker': entry('Runs sessions to RDP hosts.', ['can_run_rdp_worker'], SCOPABLE),
  'relay-node': entry(
    'Relays traffic between nodes that cannot reach each other.',
    ['can_route_mesh'],
    PLATFORM,
  ),
  'ssh-worker': entry('Runs sessions to SSH hosts.', ['can_run_ssh_worker'], SCOPABLE),
  'update-cache': entry(
    'Mirrors approved artifacts close to other nodes.',
    ['can_run_update_cache'],
    PLATFORM,
  ),
  'video-relay': entry('Relays video streams.', ['can_run_video_relay'], SCOPABLE),
  'vnc-worker': entry('Runs sessions to VNC hosts.', ['can_run_vnc_worker'], SCOPABLE),
  'vpn-connector': entry('Connects a private network to the fabric.', ['can_run_vpn_connector'], SCOPABLE),
  'vpn-exit': entry('Lets traffic of the fabric out to other networks.', ['can_run_vpn_exit'], SCOPABLE),
};

/** The roles with what they are; a role's service type bears its name. */
export const ROLE_CATALOGUE: Readonly<Record<RoleName, RoleDefinition>> = Object.fromEntries(
  ROLE_NAMES.map((name) => [
    name,
    { ...ENTRIES[name], serviceTypes: [name], policySchema: ROLE_POLICY_SCHEMAS[name] },
  ]),
) as unknown as Record<RoleName, RoleDefinition>;

/** Whether there is a role of this name. */
export function isRoleName(name: string): name is RoleName {
  return (ROLE_NAMES as readonly string[]).includes(name);
}
