import type { JWK } from 'jose';
import { type NearCache, parseMirror, parseNearCaches } from './caches/snapshot-caches.js';
import { isCount, isInstant, isObject, isText } from './json-values.js';
import { parseWorkloads, type SnapshotWorkload } from './snapshot-workload.js';
import type { ContentId } from './updates/release-manifest.js';
import { parseUpdates, type SnapshotUpdate } from './updates/snapshot-update.js';
import { parseVpnAssignments, type VpnAssignment } from './vpn/vpn-assignment.js';

/** A role as a snapshot carries it. Times are RFC 3339, the range half-open; null: no bound. */
export interface SnapshotRole {
  role: string;
  organizationId: string | null;
  policy: unknown;
  validFrom: string | null;
  validUntil: string | null;
}

/** The members of a `rap.cluster_snapshot.v1` that the agent acts on. */
export interface Snapshot {
  clusterId: string;
  nodeId: string;
  generation: number;
  authorityTerm: number;
  issuedAt: string;
  expiresAt: string;
  /** How long after `expiresAt` the node may go on while the control plane is away. */
  degradedGraceSeconds: number;
  membershipStatus: string;
  roles: SnapshotRole[];
  workloads: SnapshotWorkload[];
  vpnAssignments: VpnAssignment[];
  /** What the node is to keep for others, if that is a role of it; null: nothing. */
  mirror: ContentId[] | null;
  /** Caches near the node, nearest first. */
  updateCaches: NearCache[];
  updates: SnapshotUpdate[];
  /** The keys that may sign this node's snapshots, as this one announces them; none where it announces nothing. */
  snapshotKeys: JWK[];
}

export const SNAPSHOT_SCHEMA = 'rap.cluster_snapshot.v1';

/** Reads a payload; null when a member that the agent needs is absent or of another type. */
export function parseSnapshot(payload: unknown): Snapshot | null {
  if (!isObject(payload) || !isObject(payload.membership) || !Array.isArray(payload.roles)) return null;
  const roles = payload.roles.map(parseRole);
  const workloads = parseWorkloads(payload.workloads);
  const vpnAssignments = parseVpnAssignments(payload.vpnAssignments);
  const updates = parseUpdates(payload.updates);
  const { clusterId, nodeId, generation, authorityTerm, issuedAt, expiresAt, degradedGraceSeconds } = payload;
  const { status } = payload.membership;
  if (
    !isText(clusterId) ||
    !isText(nodeId) ||
    !isCount(generation) ||
    !isCount(authorityTerm) ||
    !isInstant(issuedAt) ||
    !isInstant(expiresAt) ||
    !isCount(degradedGraceSeconds) ||
    !isText(status) ||
    !roles.every((role) => role !== null) ||
    workloads === null ||
    vpnAssignments === null ||
    updates === null
  ) {
    return null;
  }
  const common = { clusterId, nodeId, generation, authorityTerm, issuedAt, expiresAt };
  const snapshotKeys = parseKeys(payload.trust);
  return {
    ...common,
    degradedGraceSeconds,
    membershipStatus: status,
    roles,
    workloads,
    vpnAssignments,
    mirror: parseMirror(payload.mirror),
    updateCaches: parseNearCaches(payload.updateCaches),
    updates,
    snapshotKeys,
  };
}

/** Keys of a kind that this agent cannot use are left out. */
function parseKeys(trust: unknown): JWK[] {
  if (!isObject(trust) || !Array.isArray(trust.snapshotKeys)) return [];
  return trust.snapshotKeys
    .filter(isObject)
    .filter(({ kty, crv, x, kid }) => kty === 'OKP' && crv === 'Ed25519' && isText(x) && isText(kid));
}

function parseRole(value: unknown): SnapshotRole | null {
  if (!isObject(value) || !isText(value.role)) return null;
  const { role, policy = null, organizationId = null, validFrom = null, validUntil = null } = value;
  if (organizationId !== null && !isText(organizationId)) return null;
  if (validFrom !== null && !isInstant(validFrom)) return null;
  if (validUntil !== null && !isInstant(validUntil)) return null;
  return { role, organizationId, policy, validFrom, validUntil };
}
