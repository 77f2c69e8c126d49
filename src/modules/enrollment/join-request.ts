import type { AuditEvent } from '../../common/audit/audit-event.js';
import { conflict } from '../../common/errors/domain-error.js';
import { canonicalJson, sha256OfJson } from '../../common/json/canonical-json.js';
import type { NodeJwk } from '../nodes/node-key.js';

export const JOIN_REQUEST_STATUSES = ['pending', 'approved', 'rejected', 'expired', 'cancelled'] as const;
export type JoinRequestStatus = (typeof JOIN_REQUEST_STATUSES)[number];

/** Statuses that a request may go to; it is decided once. `expired` holds at its instant, the worker only writes it. */
export const NEXT: Record<JoinRequestStatus, readonly JoinRequestStatus[]> = {
  pending: ['approved', 'rejected', 'expired', 'cancelled'],
  approved: [],
  rejected: [],
  expired: [],
  cancelled: [],
};

/** How long a request waits for a decision: long enough for a night and a morning, short enough that what the node
 *  said of itself is still true. It counts from the first request; repeats do not lengthen it. */
export const REQUEST_LIFETIME_MS = 24 * 3_600_000;

/** What a node says of itself and a reviewer looks at. */
export interface NodeClaims {
  nodeName: string;
  /** RFC 7638 thumbprint of the node's key. */
  nodeFingerprint: string;
  reportedCapabilities: string[];
  reportedFacts: Record<string, unknown>;
  requestedRoles: string[];
  agentVersion: string;
  csr: string | null;
}

/** The members of the claims that a repeat replaces while the request is pending; never name or key. */
export type RepeatedClaims = Omit<NodeClaims, 'nodeName' | 'nodeFingerprint'>;

/** A node's wish to become a member. */
export interface JoinRequest extends NodeClaims {
  id: string;
  clusterId: string;
  tokenId: string;
  publicKey: NodeJwk;
  /** The node's clock minus the service's, as the last proof told it. */
  clockSkewSeconds: number;
  /** As stored; what holds at an instant says {@link joinRequestStatus}. */
  status: JoinRequestStatus;
  /** Exclusive. */
  expiresAt: Date;
  reviewedBy: { type: string; id: string } | null;
  reviewedAt: Date | null;
  approvedNodeId: string | null;
  rejectionReason: string | null;
  /** PEM, over `csr`; null until it is issued. */
  certificate: string | null;
  createdAt: Date;
}

/** A host that is a member already, here or elsewhere, and why it is believed that a request comes from it. */
export interface KnownHost {
  nodeId: string;
  /** It is a member of this very cluster, and its key there was revoked: the request brings a new one. */
  isMember: boolean;
  /** Whether it reports the machine id of the host; null where one of them is not known. */
  isSameMachine: boolean | null;
  /** The key that signed the host proof; null: somebody vouched for it. */
  provenBy: { clusterId: string; keyThumbprint: string } | null;
  /** Why somebody vouched for it without a proof. */
  overrideReason: string | null;
}

/** Status at `now`: nobody need have written down that a request expired. */
export function joinRequestStatus(
  { status, expiresAt }: Pick<JoinRequest, 'status' | 'expiresAt'>,
  now: Date,
): JoinRequestStatus {
  return status === 'pending' && expiresAt <= now ? 'expired' : status;
}

/** Checks that the request may go to `to` at `now`. @throws conflict `join_request_decided` with its status */
export function requireUndecided(request: JoinRequest, to: JoinRequestStatus, now: Date): void {
  const status = joinRequestStatus(request, now);
  if (NEXT[status].includes(to)) return;
  throw conflict('join_request_decided', `The join request is ${status} already.`, {
    extensions: { joinRequestStatus: status },
  });
}

/** What a reviewer approves: SHA-256 in base64url over the canonical JSON of what the node said. */
export function requestDigest(claims: NodeClaims): string {
  const {
    nodeName,
    nodeFingerprint,
    reportedCapabilities,
    reportedFacts,
    requestedRoles,
    agentVersion,
    csr,
  } = claims;
  const reviewed = {
    nodeName,
    nodeFingerprint,
    reportedCapabilities,
    reportedFacts,
    requestedRoles,
    agentVersion,
    csr,
  };
  return sha256OfJson(reviewed).toString('base64url');
}

/** Names of the members in which a repeat differs. */
export function changedClaims(before: RepeatedClaims, after: RepeatedClaims): (keyof RepeatedClaims)[] {
  const members: (keyof RepeatedClaims)[] = [
    'reportedCapabilities',
    'reportedFacts',
    'requestedRoles',
    'agentVersion',
    'csr',
  ];
  return members.filter((member) => canonicalJson(before[member]) !== canonicalJson(after[member]));
}

interface StatusShape {
  status: JoinRequestStatus;
}
interface ReceivedShape {
  tokenId: string;
  nodeFingerprint: string;
  requestedRoles: string[];
  agentVersion: string;
  requestDigest: string;
  expiresAt: string;
}
interface ApprovedShape extends StatusShape {
  nodeId: string;
  nodeName: string;
  groupId: string | null;
  roles: string[];
  requestDigest: string;
  automatic: boolean;
  warnings: string[];
  /** Set where the node was known before. */
  knownHost: Omit<KnownHost, 'nodeId' | 'overrideReason'> | null;
}

declare module '../../common/audit/audit-event.js' {
  interface AuditActions {
    'join_request.received': { before: null; after: ReceivedShape };
    'join_request.updated': {
      before: { requestDigest: string };
      after: { requestDigest: string; changed: string[] };
    };
    'join_request.approved': { before: StatusShape; after: ApprovedShape };
    'join_request.host_proof_overridden': {
      before: null;
      after: { nodeId: string; nodeFingerprint: string; isSameMachine: boolean | null };
    };
    'join_request.rejected': { before: StatusShape; after: StatusShape };
    'join_request.cancelled': { before: StatusShape; after: StatusShape };
    'join_request.expired': { before: StatusShape; after: StatusShape };
  }
}

/** What events about a request need of it. */
export type NamedRequest = Pick<JoinRequest, 'id' | 'clusterId' | 'nodeName'>;

const about = ({ id, clusterId, nodeName }: NamedRequest) => ({
  resource: { type: 'join_request', id, name: nodeName },
  clusterId,
  outcome: 'success' as const,
});

export function joinRequestReceived(request: JoinRequest): AuditEvent {
  const { tokenId, nodeFingerprint, requestedRoles, agentVersion } = request;
  const expiresAt = request.expiresAt.toISOString();
  const after = {
    tokenId,
    nodeFingerprint,
    requestedRoles,
    agentVersion,
    requestDigest: requestDigest(request),
    expiresAt,
  };
  return { action: 'join_request.received', ...about(request), reason: null, before: null, after };
}

export function joinRequestUpdated(
  before: JoinRequest,
  after: JoinRequest,
  changed: readonly string[],
): AuditEvent {
  return {
    action: 'join_request.updated',
    ...about(before),
    reason: null,
    before: { requestDigest: requestDigest(before) },
    after: { requestDigest: requestDigest(after), changed: [...changed] },
  };
}

export function joinRequestApproved(
  request: JoinRequest,
  approval: Omit<ApprovedShape, 'status' | 'requestDigest'>,
): AuditEvent {
  return {
    action: 'join_request.approved',
    ...about(request),
    highRisk: true,
    reason: null,
    before: { status: 'pending' },
    after: { status: 'approved', requestDigest: requestDigest(request), ...approval },
  };
}

/** The event of somebody who vouched for a host without a proof: loud, since a stranger's key may have got its name. */
export function hostProofOverridden(request: JoinRequest, host: KnownHost): AuditEvent {
  const { nodeId, isSameMachine, overrideReason } = host;
  return {
    action: 'join_request.host_proof_overridden',
    ...about(request),
    highRisk: true,
    reason: overrideReason,
    before: null,
    after: { nodeId, nodeFingerprint: request.nodeFingerprint, isSameMachine },
  };
}

/** The event of an end without admission. */
export function joinRequestEnded(
  request: NamedRequest,
  status: 'rejected' | 'cancelled' | 'expired',
  reason: string | null,
): AuditEvent {
  return {
    action: `join_request.${status}`,
    ...about(request),
    reason,
    before: { status: 'pending' },
    after: { status },
  };
}
