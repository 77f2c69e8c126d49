import { createHash } from 'node:crypto';
import { canonicalJson } from '../../common/json/canonical-json.js';

/** Name of the payload's schema. */
export const SNAPSHOT_SCHEMA = 'rap.cluster_snapshot.v1';

/** Parts of a snapshot that only some roles need (specification, "Node-Local State and Scoped Configuration"). */
export type Section = 'peers' | 'services' | 'ingress' | 'storage';

/** What each role needs to know, and nothing beyond it. */
export const SECTIONS_OF_ROLE: Readonly<Record<string, readonly Section[]>> = {
  'core-mesh': ['peers'],
  'relay-node': ['peers'],
  'entry-node': ['ingress'],
  'admin-ingress': ['ingress'],
  'rdp-worker': ['services'],
  'vnc-worker': ['services'],
  'ssh-worker': ['services'],
  'vpn-exit': ['services'],
  'vpn-connector': ['services'],
  'video-relay': ['services'],
  'file-storage-cache': ['storage'],
  'update-cache': ['storage'],
  'config-storage': ['storage'],
};

/** A role as the snapshot carries it. Its times stay in it: agent and server apply them at their instant. */
export interface SnapshotRole {
  role: string;
  organizationId: string | null;
  policy: Record<string, unknown>;
  validFrom: string | null;
  validUntil: string | null;
}

/** What a snapshot is composed from: facts about one node. */
export interface SnapshotFacts {
  clusterId: string;
  nodeId: string;
  name: string;
  membershipStatus: 'active' | 'disabled';
  telemetryEnabled: boolean;
  roles: readonly SnapshotRole[];
}

/** The part of the content that depends on the node alone. */
export interface NodeContent {
  schema: typeof SNAPSHOT_SCHEMA;
  clusterId: string;
  nodeId: string;
  membership: { status: 'active' | 'disabled'; name: string };
  roles: readonly SnapshotRole[];
  workloads: readonly unknown[];
  vpnAssignments: readonly unknown[];
  peers: readonly unknown[];
  routePolicy: Record<string, unknown>;
  qosPolicy: Record<string, unknown>;
  updates: readonly unknown[];
  services?: readonly { serviceType: string }[];
  ingress?: { entryPolicies: readonly unknown[] };
  storage?: { scopes: readonly unknown[] };
  telemetry: { enabled: boolean };
}

/** The part of the content that every node of the cluster shares. */
export interface ClusterContent {
  authorityTerm: number;
  degradedGraceSeconds: number;
}

/** A snapshot's content: the payload without `generation`, `issuedAt` and `expiresAt`. */
export type SnapshotContent = NodeContent & ClusterContent;

/** Composes what one node may know. Nothing in it depends on the clock. */
export function composeNodeContent(facts: SnapshotFacts): NodeContent {
  const { clusterId, nodeId, name, membershipStatus, telemetryEnabled } = facts;
  const roles = membershipStatus === 'active' ? [...facts.roles].sort(byRole) : [];
  const needs = new Set(roles.flatMap(({ role }) => SECTIONS_OF_ROLE[role] ?? []));
  return {
    schema: SNAPSHOT_SCHEMA,
    clusterId,
    nodeId,
    membership: { status: membershipStatus, name },
    roles,
    workloads: [],
    vpnAssignments: [],
    peers: [],
    routePolicy: {},
    qosPolicy: {},
    updates: [],
    ...(needs.has('services') ? { services: serviceTypes(roles) } : {}),
    ...(needs.has('ingress') ? { ingress: { entryPolicies: [] } } : {}),
    ...(needs.has('storage') ? { storage: { scopes: [] } } : {}),
    telemetry: { enabled: telemetryEnabled },
  };
}

/** SHA-256 over the canonical JSON of a node's own content. */
export function contentHash(content: NodeContent): Buffer {
  return createHash('sha256').update(canonicalJson(content)).digest();
}

/** A role's service type bears its name. */
function serviceTypes(roles: readonly SnapshotRole[]): { serviceType: string }[] {
  const names = roles
    .filter(({ role }) => SECTIONS_OF_ROLE[role]?.includes('services'))
    .map(({ role }) => role);
  return [...new Set(names)].map((serviceType) => ({ serviceType }));
}

/** The order must not depend on how rows come from the database. */
function byRole(left: SnapshotRole, right: SnapshotRole): number {
  const key = ({ role, organizationId }: SnapshotRole) => `${role}\n${organizationId ?? ''}`;
  return key(left) < key(right) ? -1 : 1;
}
