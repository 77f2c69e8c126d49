import { createPrivateKey, generateKeyPair, type KeyObject } from 'node:crypto';
import { promisify } from 'node:util';
import { calculateJwkThumbprint } from 'jose';

/** The private half of a node's identity as it rests in the state directory. It never leaves the host. */
export interface PrivateJwk {
  kty: 'OKP';
  crv: 'Ed25519';
  x: string;
  d: string;
}

/** What the control plane learns of the key. */
export type PublicJwk = Omit<PrivateJwk, 'd'>;

export interface NodeKey {
  /** RFC 7638 thumbprint, base64url of SHA-256; names the key file and the fingerprint shown to a reviewer. */
  thumbprint: string;
  privateJwk: PrivateJwk;
  publicJwk: PublicJwk;
  signer: KeyObject;
}

/**
 * Makes a new Ed25519 identity key. Not by `generateKeyPairSync`: what that leaves behind locks the key when it is collected,
 * and its export, which holds that lock, may be what lets the collector run; the process would wait for itself for ever.
 */
export async function generateNodeKey(): Promise<NodeKey> {
  const { privateKey } = await promisify(generateKeyPair)('ed25519');
  return loadNodeKey(privateKey.export({ format: 'jwk' }));
}

/** @throws Error when `jwk` is not a private Ed25519 JWK */
export async function loadNodeKey(jwk: unknown): Promise<NodeKey> {
  const privateJwk = asPrivateJwk(jwk);
  const { kty, crv, x } = privateJwk;
  return {
    thumbprint: await calculateJwkThumbprint({ kty, crv, x }),
    privateJwk,
    publicJwk: { kty, crv, x },
    signer: createPrivateKey({ key: { ...privateJwk }, format: 'jwk' }),
  };
}

function asPrivateJwk(value: unknown): PrivateJwk {
  const { kty, crv, x, d } = (value ?? {}) as Record<string, unknown>;
  if (kty !== 'OKP' || crv !== 'Ed25519' || typeof x !== 'string' || typeof d !== 'string') {
    throw new Error('not a private Ed25519 JWK');
  }
  return { kty, crv, x, d };
}
