import { createHash, X509Certificate } from 'node:crypto';
import { calculateJwkThumbprint, type JWK } from 'jose';
import { pemBlocks } from './pem.js';
import { Untrusted } from './untrusted.js';

/** A root of the cluster. */
export interface Root {
  x509: X509Certificate;
  /** RFC 7638 thumbprint of its key: by this the control plane names its revocation list. */
  kid: string;
}

/** What a node trusts, as the cluster publishes it. */
export interface TrustBundle {
  /** The text as it was served: its hash is what nodes acknowledge. */
  pem: string;
  /** SHA-256 of `pem`, in hexadecimal. */
  fingerprint: string;
  roots: Root[];
}

/** More than a rotation of a rotation ever has. */
const MAX_ROOTS = 16;

/**
 * Reads a bundle. Each of it must be a self-signed authority of this very cluster, and one at least must be in its time:
 * a node that took on an empty or foreign bundle would trust nobody, or somebody else.
 * @throws Untrusted
 */
export async function readTrustBundle(
  pem: string,
  expected: { clusterId: string; now: Date | null },
): Promise<TrustBundle> {
  const blocks = pemBlocks(pem, 'CERTIFICATE');
  if (blocks.length === 0 || blocks.length > MAX_ROOTS)
    throw new Untrusted('malformed', `the bundle holds ${blocks.length} certificates`);
  const roots = await Promise.all(blocks.map((block) => readRoot(block, expected.clusterId)));
  if (!roots.some(({ x509 }) => isInTime(x509, expected.now)))
    throw new Untrusted('out_of_time', 'no root of the bundle is in its time');
  return { pem, fingerprint: createHash('sha256').update(pem).digest('hex'), roots };
}

/** Whether `now` lies within the validity of a certificate. Null: do not look, it was accepted earlier. */
export function isInTime(x509: X509Certificate, now: Date | null): boolean {
  if (now === null) return true;
  return Date.parse(x509.validFrom) <= now.getTime() && now.getTime() < Date.parse(x509.validTo);
}

/** Whether `issuer` signed `subject`, by name and by signature, and may do so. */
export function isIssuedBy(subject: X509Certificate, issuer: X509Certificate): boolean {
  return issuer.ca && subject.checkIssued(issuer) && subject.verify(issuer.publicKey);
}

async function readRoot(pem: string, clusterId: string): Promise<Root> {
  let x509: X509Certificate;
  try {
    x509 = new X509Certificate(pem);
  } catch (cause) {
    throw new Untrusted('malformed', 'the bundle holds something that is no certificate', { cause });
  }
  if (!isIssuedBy(x509, x509)) throw new Untrusted('no_authority', `${x509.subject} is no self-signed root`);
  if (x509.subjectAltName !== `URI:spiffe://${clusterId}`)
    throw new Untrusted('another_cluster', `${x509.subject} is no authority of this cluster`);
  return { x509, kid: await calculateJwkThumbprint(x509.publicKey.export({ format: 'jwk' }) as JWK) };
}
