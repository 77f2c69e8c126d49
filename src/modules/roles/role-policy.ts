import { compileSchema, type PublishedSchema, type SchemaFault } from '../../common/json/schema-check.js';
import type { RoleName } from './role-catalogue.js';

type Members = Readonly<Record<string, PublishedSchema>>;

const integer = (minimum: number, maximum: number, description: string): PublishedSchema => ({
  type: 'integer',
  minimum,
  maximum,
  description,
});
const flag = (description: string): PublishedSchema => ({ type: 'boolean', description });
const DAY = 86_400;

/** What an operator may say of every node of a role. */
const EVERYWHERE: Members = {
  weight: integer(0, 1_000, 'Share of new work beside other nodes of the role: 100 when absent, 0 for none.'),
  maxBandwidthMbps: integer(1, 1_000_000, 'Most traffic of the role, in megabits a second.'),
};
const SESSIONS: Members = {
  maxSessions: integer(1, 100_000, 'Sessions at a time.'),
  idleTimeoutSeconds: integer(30, DAY, 'A session without traffic ends after this long.'),
  maxSessionSeconds: integer(60, 30 * DAY, 'A session ends after this long.'),
};
const DESKTOPS: Members = {
  ...SESSIONS,
  clipboard: flag('Whether sessions share the clipboard.'),
  fileTransfer: flag('Whether sessions transfer files.'),
};
const TUNNELS: Members = { ...SESSIONS, maxTunnels: integer(1, 100_000, 'Tunnels at a time.') };
// A core node keeps 8 to 20 active peers (specification, "Peer Discovery and Routing Foundation"); more is its choice.
const PEERS: Members = { maxPeers: integer(1, 64, 'Active peers at a time.') };
const STORAGE: Members = {
  maxStorageBytes: integer(1_048_576, 2 ** 50, 'Most disk space.'),
  maxAgeSeconds: integer(60, 365 * DAY, 'What nobody has asked for this long is dropped.'),
};

const MEMBERS: Readonly<Record<RoleName, Members>> = {
  'admin-ingress': SESSIONS,
  'config-storage': STORAGE,
  'core-mesh': PEERS,
  'entry-node': SESSIONS,
  'file-storage-cache': STORAGE,
  'rdp-worker': DESKTOPS,
  'relay-node': PEERS,
  'ssh-worker': { ...SESSIONS, fileTransfer: flag('Whether sessions transfer files.') },
  'update-cache': STORAGE,
  'video-relay': { ...SESSIONS, maxStreams: integer(1, 10_000, 'Streams at a time.') },
  'vnc-worker': DESKTOPS,
  'vpn-connector': TUNNELS,
  'vpn-exit': TUNNELS,
};

/**
 * The JSON Schema of each role's `policy`. Every member is optional, and a member that is not named is refused: a
 * misspelt limit would limit nothing. Names that begin with `x-` are the operator's own and are passed on unread.
 */
export const ROLE_POLICY_SCHEMAS = Object.fromEntries(
  Object.entries(MEMBERS).map(([role, members]) => [
    role,
    {
      type: 'object',
      properties: { ...EVERYWHERE, ...members },
      patternProperties: { '^x-[a-z0-9-]{1,60}$': {} },
      additionalProperties: false,
    },
  ]),
) as unknown as Readonly<Record<RoleName, PublishedSchema>>;

const CHECKS = new Map(
  Object.entries(ROLE_POLICY_SCHEMAS).map(([role, schema]) => [role, compileSchema(schema)]),
);

/** How a policy differs from what the role takes; nothing when it fits. */
export function policyFaults(role: RoleName, policy: unknown): SchemaFault[] {
  return CHECKS.get(role)?.(policy) ?? [];
}
