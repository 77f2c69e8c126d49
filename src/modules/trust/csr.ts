// The certificate library resolves its parts by decorators' metadata.
import 'reflect-metadata';
import { createPublicKey, type KeyObject, verify } from 'node:crypto';
import { Pkcs10CertificateRequest } from '@peculiar/x509';
import { type DomainError, invalid } from '../../common/errors/domain-error.js';
import { readNodeKey } from '../nodes/node-key.js';
import { firstElement } from './der.js';

/** What is taken from a certificate signing request: the key, and nothing else. */
export interface RequestedKey {
  key: KeyObject;
  /** RFC 7638 thumbprint, SHA-256 in base64url. */
  thumbprint: string;
}

/** Longest request: a P-256 one has about 500 characters, and what comes beside the key is not read. */
export const MAX_CSR_LENGTH = 8_192;
const PEM =
  /^\s*-----BEGIN (NEW )?CERTIFICATE REQUEST-----\s([A-Za-z0-9+/=\s]+)-----END \1?CERTIFICATE REQUEST-----\s*$/;

/**
 * The public key of a PEM PKCS#10 request that is signed by that very key. Subject, names and extensions are not looked
 * at: they are what the requester would like, and it has no say in them.
 * @throws invalid `csr_invalid`
 */
export function readCsr(text: string): RequestedKey {
  const body = PEM.exec(text)?.[2];
  if (body === undefined) throw refused('Must be one PEM block of a PKCS#10 certificate request.');
  let request: Pkcs10CertificateRequest;
  let key: KeyObject;
  try {
    request = new Pkcs10CertificateRequest(Buffer.from(body, 'base64'));
    key = createPublicKey({ key: Buffer.from(request.publicKey.rawData), format: 'der', type: 'spki' });
  } catch (error) {
    throw refused('Is not a PKCS#10 certificate request.', error);
  }
  if (!isAllowed(key)) throw refused('Its key must be P-256 or Ed25519.');
  if (!isSignedBy(request, key)) throw refused('Is not signed by its own key.');
  const jwk = key.export({ format: 'jwk' });
  // From the JWK, so that the certificate gets the canonical encoding of the key, whatever the request had.
  const { key: canonical, thumbprint } = readNodeKey(jwk);
  return { key: canonical, thumbprint };
}

function isAllowed(key: KeyObject): boolean {
  if (key.asymmetricKeyType === 'ed25519') return true;
  return key.asymmetricKeyType === 'ec' && key.asymmetricKeyDetails?.namedCurve === 'prime256v1';
}

function isSignedBy(request: Pkcs10CertificateRequest, key: KeyObject): boolean {
  try {
    const raw = Buffer.from(request.rawData);
    const tbs = firstElement(raw);
    const signature = Buffer.from(request.signature);
    const digest = digestOf(request, key);
    return raw.equals(encoded(tbs, digest, signature)) && verify(digest, tbs, key, signature);
  } catch {
    return false;
  }
}

/** DER of the algorithm identifiers by digest; Ed25519 has none (RFC 8410 section 3, RFC 5758 section 3.2). */
const ALGORITHMS: Readonly<Record<string, string>> = {
  none: '300506032b6570',
  sha256: '300a06082a8648ce3d040302',
  sha384: '300a06082a8648ce3d040303',
  sha512: '300a06082a8648ce3d040304',
};

/** The one DER encoding of a request: what stands around the signed part is not covered by the signature. */
function encoded(tbs: Buffer, digest: string | null, signature: Buffer): Buffer {
  const algorithm = Buffer.from(ALGORITHMS[digest ?? 'none'] ?? '', 'hex');
  const bits = element(0x03, Buffer.concat([Buffer.of(0), signature]));
  return element(0x30, Buffer.concat([tbs, algorithm, bits]));
}

function element(tag: number, content: Buffer): Buffer {
  const { length } = content;
  const header =
    length < 0x80
      ? [tag, length]
      : length < 0x100
        ? [tag, 0x81, length]
        : [tag, 0x82, length >> 8, length & 0xff];
  return Buffer.concat([Buffer.from(header), content]);
}

/** @throws Error for a digest that is not good enough to prove anything */
function digestOf(request: Pkcs10CertificateRequest, key: KeyObject): string | null {
  if (key.asymmetricKeyType === 'ed25519') return null;
  const { hash } = request.signatureAlgorithm as { hash?: { name?: string } };
  if (!/^SHA-(256|384|512)$/.test(hash?.name ?? ''))
    throw new Error(`signed with ${hash?.name ?? 'no digest'}`);
  return String(hash?.name).replace('-', '').toLowerCase();
}

function refused(message: string, cause?: unknown): DomainError {
  const errors = [{ pointer: '#/csr', message }];
  return invalid('csr_invalid', `The certificate request is not acceptable: ${message}`, { errors, cause });
}

/** The refusal of a request over a key that is something else already. */
export function keyNotFresh(message: string): DomainError {
  return refused(`Must be over a fresh key. ${message}`);
}
