import type { AuditEvent } from '../../common/audit/audit-event.js';
import type { NodeJwk } from './node-key.js';

/** `active` goes to `rotated` or `revoked`, `rotated` to `revoked`; a key never becomes the node's key again. */
export type IdentityStatus = 'active' | 'rotated' | 'revoked';

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
  }
}

/** The event of a rotation. */
export function identityRotated(
  member: { clusterId: string; nodeId: string; name: string },
  previous: NodeIdentity,
  keyThumbprint: string,
  previousKeyValidUntil: Date,
): AuditEvent {
  return {
    action: 'node_identity.rotated',
    resource: { type: 'node', id: member.nodeId, name: member.name },
    clusterId: member.clusterId,
    outcome: 'success',
    reason: null,
    before: { keyThumbprint: previous.keyThumbprint },
    after: { keyThumbprint, previousKeyValidUntil: previousKeyValidUntil.toISOString() },
  };
}
