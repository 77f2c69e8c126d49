import { createPrivateKey, createPublicKey, type KeyObject } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { newKeyPair } from '../common/crypto/new-key-pair.js';
import { type NodeKey, readNodeKey } from '../modules/nodes/node-key.js';
import { Failure } from './failure.js';

/** Encrypts and decrypts private keys, where it is set. */
const PASSPHRASE = 'FABRIC_KEY_PASSPHRASE';

/** A private key with its public half. */
export interface SigningPair {
  privateKey: KeyObject;
  publicKey: NodeKey;
}

export function newPair(type: 'ed25519' | 'p256'): SigningPair {
  const { privateKey } = newKeyPair(type);
  return { privateKey, publicKey: publicHalf(privateKey) };
}

/** PKCS#8 as PEM, encrypted where a passphrase is set. */
export function privatePem({ privateKey }: SigningPair): string {
  const passphrase = process.env[PASSPHRASE];
  const encryption = passphrase ? { cipher: 'aes-256-cbc', passphrase } : {};
  return String(privateKey.export({ type: 'pkcs8', format: 'pem', ...encryption }));
}

/** @throws Failure when the file is no private key of a kind that signs releases */
export async function readPrivateKey(path: string): Promise<SigningPair> {
  const key = await readFile(path);
  const passphrase = process.env[PASSPHRASE];
  try {
    const privateKey = createPrivateKey({ key, ...(passphrase ? { passphrase } : {}) });
    return { privateKey, publicKey: publicHalf(privateKey) };
  } catch (cause) {
    throw new Failure(
      `${path} is no private key of Ed25519 or P-256 in PEM that can be read; if it is encrypted, set ${PASSPHRASE}`,
      { cause },
    );
  }
}

/** A public key: a JWK, or PEM. @throws Failure */
export async function readPublicKey(path: string): Promise<NodeKey> {
  const text = await readFile(path, 'utf8');
  try {
    const jwk: unknown = text.trimStart().startsWith('{')
      ? JSON.parse(text)
      : createPublicKey(text).export({ format: 'jwk' });
    return readNodeKey(jwk);
  } catch (cause) {
    throw new Failure(`${path} is no public key of Ed25519 or P-256, as a JWK or in PEM`, { cause });
  }
}

function publicHalf(privateKey: KeyObject): NodeKey {
  return readNodeKey(createPublicKey(privateKey).export({ format: 'jwk' }));
}
