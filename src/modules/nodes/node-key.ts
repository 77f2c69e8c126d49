import { createHash, createPublicKey, type KeyObject } from 'node:crypto';
import { z } from 'zod';
import { isUsableEd25519 } from './ed25519-point.js';

const COORDINATE = /^[A-Za-z0-9_-]{43}$/;
/** In its one encoding: another spelling of the same bytes would give the same key another thumbprint. */
const coordinate = () =>
  z
    .string()
    .regex(COORDINATE, 'Must be 32 bytes in base64url.')
    .refine((text) => Buffer.from(text, 'base64url').toString('base64url') === text, {
      error: 'Must be canonical base64url: the unused bits of the last character are zero.',
    });
const FORBIDDEN = { d: z.undefined({ error: 'A private key must never be sent.' }).optional() };

const Ed25519 = z.object({ kty: z.literal('OKP'), crv: z.literal('Ed25519'), x: coordinate(), ...FORBIDDEN });
const P256 = z.object({
  kty: z.literal('EC'),
  crv: z.literal('P-256'),
  x: coordinate(),
  y: coordinate(),
  ...FORBIDDEN,
});

/** A public key of a node: Ed25519 or P-256, as a JWK. Private members are refused, others ignored. */
export const PublicJwk = z
  .discriminatedUnion('kty', [Ed25519, P256], { error: 'Must be a public JWK, Ed25519 (OKP) or P-256 (EC).' })
  .meta({
    id: 'PublicJwk',
    description: 'A public key as a JWK: Ed25519 (`OKP`) or P-256 (`EC`).',
    example: { kty: 'OKP', crv: 'Ed25519', x: '11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo' },
  });

/** A JWK with its public members alone. */
export type NodeJwk =
  | { kty: 'OKP'; crv: 'Ed25519'; x: string }
  | { kty: 'EC'; crv: 'P-256'; x: string; y: string };

/** A node's public key, checked. */
export interface NodeKey {
  jwk: NodeJwk;
  /** RFC 7638 thumbprint, SHA-256 in base64url. */
  thumbprint: string;
  /** The only JWS algorithm that this key may be used with: nothing is left to a header. */
  alg: 'EdDSA' | 'ES256';
  key: KeyObject;
}

/** Reads a public JWK. @throws Error when it is not an Ed25519 or P-256 public key, or not a point that may be one */
export function readNodeKey(value: unknown): NodeKey {
  const parsed = PublicJwk.parse(value);
  const jwk: NodeJwk =
    parsed.kty === 'OKP'
      ? { kty: 'OKP', crv: 'Ed25519', x: parsed.x }
      : { kty: 'EC', crv: 'P-256', x: parsed.x, y: parsed.y };
  if (jwk.kty === 'OKP' && !isUsableEd25519(Buffer.from(jwk.x, 'base64url')))
    throw new Error('not a point of the group that Ed25519 keys are of');
  const key = createPublicKey({ key: jwk, format: 'jwk' });
  return { jwk, thumbprint: thumbprintOf(jwk), alg: jwk.kty === 'OKP' ? 'EdDSA' : 'ES256', key };
}

/** RFC 7638: the required members in lexical order, without white space. */
function thumbprintOf(jwk: NodeJwk): string {
  const members =
    jwk.kty === 'OKP'
      ? { crv: jwk.crv, kty: jwk.kty, x: jwk.x }
      : { crv: jwk.crv, kty: jwk.kty, x: jwk.x, y: jwk.y };
  return createHash('sha256').update(JSON.stringify(members)).digest('base64url');
}
