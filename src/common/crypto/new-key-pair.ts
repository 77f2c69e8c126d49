import {
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type JsonWebKey,
  type KeyObject,
} from 'node:crypto';

/** Both halves of a key. */
export interface KeyPair {
  publicKey: KeyObject;
  privateKey: KeyObject;
}

/** Node can encode a new pair as JWKs; its types do not know that. */
const generate = generateKeyPairSync as unknown as (
  type: string,
  options: object,
) => { publicKey: JsonWebKey; privateKey: JsonWebKey };
const AS_JWKS = { publicKeyEncoding: { format: 'jwk' }, privateKeyEncoding: { format: 'jwk' } };

/**
 * A new key pair. It is generated in encoded form and read back, never taken as it was generated: what `generateKeyPairSync`
 * leaves behind locks the pair when it is collected, and an export as JWK, which holds that lock, may be what lets the
 * collector run. Then the process waits for itself for ever (seen with Node 20, once in some hundreds to thousands of keys).
 */
export function newKeyPair(type: 'ed25519' | 'p256'): KeyPair {
  const { publicKey, privateKey } =
    type === 'ed25519' ? generate('ed25519', AS_JWKS) : generate('ec', { namedCurve: 'P-256', ...AS_JWKS });
  return {
    publicKey: createPublicKey({ key: publicKey, format: 'jwk' }),
    privateKey: createPrivateKey({ key: privateKey, format: 'jwk' }),
  };
}
