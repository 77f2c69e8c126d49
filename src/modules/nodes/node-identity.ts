import type { AuditEvent } from '../../common/audit/audit-event.js';
import type { NodeJwk } from './node-key.js';

export type IdentityStatus = 'active' | 'rotated' | 'revoked';

/** Statuses that an identity may go to; a key never becomes the node's key again. */
export const NEXT_IDENTITY_STATUS: Record<IdentityStatus, readonly IdentityStatus[]> = {
  active: ['rotated', 'revoked'],
  rotated: ['revoked'],
  revoked: [],
};

/** How long a replaced key still works: as long as the answer to the rotation may be on its way, and be asked again. */
export const ROTATION_OVERLAP_SECONDS = 60;

/** A key by which a node is, or was, known in one cluster. */
export interface NodeIdentity {
  id: string;
  publicKey: NodeJwk;
  keyThumbprint: string;
  identityStatus: IdentityStatus;
  /** Until when a rotated key still works; null for one that was never rotated. */
  validUntil: Date | null;
  /** The identity that it took the place of. */
  rotatedFrom: string | null;
}

/** Whether what the key signs counts at `now`. */
export function keyWorks(
  { identityStatus, validUntil }: Pick<NodeIdentity, 'identityStatus' | 'validUntil'>,
  now: Date,
): boolean {
  if (identityStatus === 'active') return true;
  return identityStatus === 'rotated' && validUntil !== null && now < validUntil;
}

/**
 * What ends with the identity when it is revoked: itself, and where it is the active one every key that was replaced
 * as well, since none of them may act for a node that has no key. Empty: it had ended before.
 */
export function endingWith(identity: NodeIdentity, all: readonly NodeIdentity[]): NodeIdentity[] {
  const ending = identity.identityStatus === 'active' ? all : [identity];
  return ending.filter(({ identityStatus }) => NEXT_IDENTITY_STATUS[identityStatus].includes('revoked'));
}

/** What a rotation that is asked for comes to, by whose key signed it. */
export type RotationVerdict = 'rotate' | 'repeated' | 'superseded' | 'unchanged_key';

/**
 * What to do about a valid proof. The same rotation again is answered again, since its first answer may be lost; a key
 * that was replaced replaces nothing any more, overlap or not.
 * @param signer whether the outer signature is by the key that is active, or by the one before it
 */
export function rotationVerdict(
  signer: 'active' | 'previous',
  activeThumbprint: string,
  newThumbprint: string,
): RotationVerdict {
  if (signer === 'previous') return newThumbprint === activeThumbprint ? 'repeated' : 'superseded';
  return newThumbprint === activeThumbprint ? 'unchanged_key' : 'rotate';
}

declare module '../../common/audit/audit-event.js' {
  interface AuditActions {
    'node_identity.rotated': {
      before: { keyThumbprint: string };
      after: { keyThumbprint: string; previousKeyValidUntil: string };
    };
    'node_identity.revoked': {
      before: { identityId: string; keyThumbprint: string; identityStatus: IdentityStatus };
      after: { identityStatus: 'revoked'; revocationEpoch: number };
    };
    'node_identity.replaced': { before: null; after: { keyThumbprint: string } };
  }
}

/** The member whose key it is. */
interface Bearer {
  clusterId: string;
  nodeId: string;
  name: string;
}

const about = ({ clusterId, nodeId, name }: Bearer) => ({
  resource: { type: 'node', id: nodeId, name },
  clusterId,
  outcome: 'success' as const,
});

/** The event of a rotation. */
export function identityRotated(
  member: Bearer,
  previous: NodeIdentity,
  keyThumbprint: string,
  previousKeyValidUntil: Date,
): AuditEvent {
  return {
    action: 'node_identity.rotated',
    ...about(member),
    reason: null,
    before: { keyThumbprint: previous.keyThumbprint },
    after: { keyThumbprint, previousKeyValidUntil: previousKeyValidUntil.toISOString() },
  };
}

/** The event of a key that was revoked apart from its membership. */
export function identityRevoked(
  member: Bearer,
  { id: identityId, keyThumbprint, identityStatus }: NodeIdentity,
  reason: string,
  revocationEpoch: number,
): AuditEvent {
  return {
    action: 'node_identity.revoked',
    ...about(member),
    reason,
    before: { identityId, keyThumbprint, identityStatus },
    after: { identityStatus: 'revoked', revocationEpoch },
  };
}

/** The event of a member that got a new key after its last one was revoked. */
export function identityReplaced(member: Bearer, keyThumbprint: string): AuditEvent {
  return {
    action: 'node_identity.replaced',
    ...about(member),
    reason: null,
    before: null,
    after: { keyThumbprint },
  };
}
