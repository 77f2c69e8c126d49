import { createHash } from 'node:crypto';
import { canonicalJson } from '../../common/json/canonical-json.js';
import { isRoleName } from '../roles/role-catalogue.js';
import type { SnapshotWorkload } from '../workloads/workloads.schema.js';
import type {
  SnapshotCache,
  SnapshotIngress,
  SnapshotKeyJwk,
  SnapshotMirror,
  SnapshotPeer,
  SnapshotRole,
  SnapshotService,
  SnapshotStorage,
  SnapshotUpdate,
  SnapshotVpnAssignment,
} from './snapshot-items.schema.js';
import { needsOf } from './snapshot-needs.js';

/** Name of the payload's schema. */
export const SNAPSHOT_SCHEMA = 'rap.cluster_snapshot.v1';

/** What a snapshot is composed from: facts about one node. */
export interface SnapshotFacts {
  clusterId: string;
  nodeId: string;
  name: string;
  membershipStatus: 'active' | 'disabled';
  telemetryEnabled: boolean;
  roles: readonly SnapshotRole[];
  /** Everything that is there for the node; of it the snapshot holds what its roles need. */
  available: Available;
}

/** What the modules have for a node, whatever its roles are. */
export interface Available {
  workloads: readonly SnapshotWorkload[];
  vpnAssignments: readonly SnapshotVpnAssignment[];
  peers: readonly SnapshotPeer[];
  routePolicy: Record<string, unknown>;
  qosPolicy: Record<string, unknown>;
  updates: readonly SnapshotUpdate[];
  services: readonly SnapshotService[];
  ingress: SnapshotIngress;
  storage: SnapshotStorage;
  mirror: SnapshotMirror;
  /** Nearest first. */
  updateCaches: readonly SnapshotCache[];
}

/** Of what no module provides yet, a node that needs it receives the empty form. */
export const NOTHING_AVAILABLE: Available = {
  workloads: [],
  vpnAssignments: [],
  peers: [],
  routePolicy: {},
  qosPolicy: {},
  updates: [],
  services: [],
  ingress: { entryPolicies: [], tokenValidation: null, routeEntries: [] },
  storage: { scopes: [], replication: null },
  mirror: { files: [] },
  updateCaches: [],
};

/** What every snapshot has a place for, empty where no role of the node needs it. */
type Always = 'workloads' | 'vpnAssignments' | 'peers' | 'routePolicy' | 'qosPolicy' | 'updates';

/** The part of the content that depends on the node alone. */
export interface NodeContent extends Pick<Available, Always>, Partial<Omit<Available, Always>> {
  schema: typeof SNAPSHOT_SCHEMA;
  clusterId: string;
  nodeId: string;
  membership: { status: 'active' | 'disabled'; name: string };
  roles: readonly SnapshotRole[];
  telemetry: { enabled: boolean };
}

/** The part of the content that every node of the cluster shares. */
export interface ClusterContent {
  authorityTerm: number;
  degradedGraceSeconds: number;
  /** All that may sign snapshots now or next: a node learns a new key from a snapshot that the old one signed. */
  trust: { snapshotKeys: readonly SnapshotKeyJwk[] };
}

/** A snapshot's content: the payload without `generation`, `issuedAt` and `expiresAt`. */
export type SnapshotContent = NodeContent & ClusterContent;

/** Composes what one node may know. Nothing in it depends on the clock. */
export function composeNodeContent(facts: SnapshotFacts): NodeContent {
  const { clusterId, nodeId, name, membershipStatus, telemetryEnabled, available } = facts;
  const isActive = membershipStatus === 'active';
  const roles = isActive
    ? sorted(facts.roles, ({ role, organizationId }) => [role, organizationId ?? ''])
    : [];
  const needs = needsOf(roles.map(({ role }) => role).filter(isRoleName));
  const { members } = needs;
  const workloads = available.workloads.filter(({ serviceType }) => needs.workloadTypes.has(serviceType));
  const vpnAssignments = available.vpnAssignments.filter(({ kind }) => needs.connectionKinds.has(kind));
  const updates = isActive ? sorted(available.updates, ({ product }) => [product]) : [];
  const { updateCaches } = available;
  return {
    schema: SNAPSHOT_SCHEMA,
    clusterId,
    nodeId,
    membership: { status: membershipStatus, name },
    roles,
    workloads: sorted(workloads, ({ serviceType }) => [serviceType]),
    vpnAssignments: sorted(vpnAssignments, ({ connectionId }) => [connectionId]),
    peers: members.has('peers') ? sorted(available.peers, ({ nodeId: peer }) => [peer]) : [],
    routePolicy: members.has('routePolicy') ? available.routePolicy : {},
    qosPolicy: members.has('qosPolicy') ? available.qosPolicy : {},
    updates,
    ...(members.has('services') ? { services: servicesFor(needs.serviceTypes, available.services) } : {}),
    ...(members.has('ingress') ? { ingress: available.ingress } : {}),
    ...(members.has('storage') ? { storage: available.storage } : {}),
    ...(members.has('mirror') ? { mirror: available.mirror } : {}),
    ...(updates.length > 0 && updateCaches.length > 0 ? { updateCaches } : {}),
    telemetry: { enabled: telemetryEnabled },
  };
}

/** SHA-256 over the canonical JSON of a node's own content. */
export function contentHash(content: NodeContent): Buffer {
  return createHash('sha256').update(canonicalJson(content)).digest();
}

/** An item for each service type, with what is known of it. */
function servicesFor(types: ReadonlySet<string>, known: readonly SnapshotService[]): SnapshotService[] {
  return [...types].sort().map(
    (serviceType) =>
      known.find((service) => service.serviceType === serviceType) ?? {
        serviceType,
        resourceRefs: [],
        connectorRefs: [],
      },
  );
}

/** The order must not depend on how rows come from the database. */
function sorted<T>(items: readonly T[], keyOf: (item: T) => readonly string[]): T[] {
  const key = (item: T) => keyOf(item).join('\n');
  return [...items].sort((left, right) => (key(left) < key(right) ? -1 : 1));
}
