import { z } from 'zod';
import { Id, Instant } from '../../common/http/fields.js';
import { PublicJwk } from './node-key.js';

/** Two signatures and the claims fit easily. */
const MAX_PROOF_LENGTH = 8_192;

/** Members that this version does not know are ignored and counted, as everywhere under `/node-agents`. */
export const RotateIdentity = z
  .object({
    newPublicKey: PublicJwk,
    proof: z
      .string()
      .min(1)
      .max(MAX_PROOF_LENGTH)
      .describe(
        'Compact JWS by the old key; its payload is a compact JWS by the new key over `{ iat, jti, aud, nodeId, clusterId, newKeyThumbprint }`.',
      )
      .meta({ example: 'eyJhbGciOiJFZERTQSJ9.ZXlKaGJHY2lPaUpGWkVSVFFTSjkuZTMwLmMybG4.c2ln' }),
  })
  .meta({ id: 'RotateIdentity' });

const Thumbprint = z
  .string()
  .describe('RFC 7638, SHA-256 in base64url.')
  .meta({ example: 'kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k' });

export const RotatedIdentity = z
  .object({
    nodeId: Id,
    clusterId: Id,
    keyThumbprint: Thumbprint.describe('Of the key by which the node is known from now on.'),
    previousKeyThumbprint: Thumbprint,
    previousKeyValidUntil: Instant.describe('Until then tokens can still be had with the previous key.'),
  })
  .meta({ id: 'RotatedIdentity' });
export type RotatedIdentity = z.infer<typeof RotatedIdentity>;
