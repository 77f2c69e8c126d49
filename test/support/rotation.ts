import { randomUUID } from 'node:crypto';
import {
  CompactSign,
  type CryptoKey,
  calculateJwkThumbprint,
  exportJWK,
  generateKeyPair,
  type JWK,
} from 'jose';
import type { TestNode } from './test-node.js';

/** A key pair as an agent would make it for a rotation. */
export interface FreshKey {
  publicJwk: JWK;
  privateKey: CryptoKey;
  alg: string;
}

export async function freshKey(alg: 'EdDSA' | 'ES256' | 'RS256' = 'EdDSA'): Promise<FreshKey> {
  const options = alg === 'EdDSA' ? { crv: 'Ed25519' } : {};
  const { publicKey, privateKey } = await generateKeyPair(alg, { ...options, extractable: true });
  return { publicJwk: await exportJWK(publicKey), privateKey, alg };
}

/** A compact JWS over a text, or over claims. */
export function signWith({ privateKey, alg }: FreshKey, payload: string | object): Promise<string> {
  const text = typeof payload === 'string' ? payload : JSON.stringify(payload);
  return new CompactSign(new TextEncoder().encode(text)).setProtectedHeader({ alg }).sign(privateKey);
}

/** What a test may get wrong in a proof of rotation. */
export interface RotationFaults {
  claims?: Record<string, unknown>;
  /** Who signs the inner JWS. */
  inner?: FreshKey;
  /** Who signs the outer JWS. */
  outer?: { sign(payload: string): Promise<string> };
}

/** The body of a rotation of `node` to `key`. */
export async function rotationBody(
  node: TestNode,
  key: FreshKey,
  { claims = {}, inner = key, outer = { sign: (payload) => node.signText(payload) } }: RotationFaults = {},
): Promise<{ newPublicKey: JWK; proof: string }> {
  const innerJws = await signWith(inner, {
    iat: Math.floor(Date.now() / 1000),
    jti: randomUUID(),
    aud: node.url,
    nodeId: node.nodeId,
    clusterId: node.clusterId,
    newKeyThumbprint: await calculateJwkThumbprint(key.publicJwk),
    ...claims,
  });
  return { newPublicKey: key.publicJwk, proof: await outer.sign(innerJws) };
}
