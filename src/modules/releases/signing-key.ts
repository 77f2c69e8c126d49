import { createPublicKey, type KeyObject } from 'node:crypto';
import type { AuditEvent } from '../../common/audit/audit-event.js';
import { notFound } from '../../common/errors/domain-error.js';
import type { NodeJwk } from '../nodes/node-key.js';

/** A public key that signs releases. */
export interface SigningKey {
  id: string;
  name: string;
  /** RFC 7638 thumbprint, the `keyid` of an envelope. */
  keyId: string;
  publicKey: NodeJwk;
  /** Names of the products that it signs for, sorted; null: all, also those that come later. */
  products: string[] | null;
  createdAt: Date;
  revokedAt: Date | null;
  revokedReason: string | null;
}

type Shape = Pick<SigningKey, 'name' | 'keyId' | 'products'>;

declare module '../../common/audit/audit-event.js' {
  interface AuditActions {
    'signing_key.created': { before: null; after: Shape };
    'signing_key.revoked': { before: null; after: { keyId: string; revokedAt: string } };
  }
}

/**
 * What makes a key the same key, however it is written: the point without its sign. Whoever can sign by a point can
 * sign by its mirror image as well. Postgres computes it again.
 */
export function keyMaterial(jwk: NodeJwk): Buffer {
  const point = Buffer.from(jwk.x, 'base64url');
  if (jwk.kty === 'OKP') point[31] = (point[31] ?? 0) & 0x7f;
  return point;
}

/** The key, ready to verify with. */
export function verifyingKey(jwk: NodeJwk): KeyObject {
  return createPublicKey({ key: jwk, format: 'jwk' });
}

export function signingKeyCreated(key: SigningKey): AuditEvent {
  const { name, keyId, products } = key;
  return {
    ...about(key, null),
    action: 'signing_key.created',
    before: null,
    after: { name, keyId, products },
  };
}

export function signingKeyRevoked(key: SigningKey, revokedAt: Date, reason: string | null): AuditEvent {
  const after = { keyId: key.keyId, revokedAt: revokedAt.toISOString() };
  return { ...about(key, reason), action: 'signing_key.revoked', before: null, after };
}

function about({ id, name }: SigningKey, reason: string | null) {
  const resource = { type: 'signing_key', id, name };
  return { resource, clusterId: null, outcome: 'success', reason } as const;
}

export function noSuchSigningKey() {
  return notFound('not_found', 'There is no such signing key.');
}
