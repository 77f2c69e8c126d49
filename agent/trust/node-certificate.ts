import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto';
import type { CertificateKeyType } from './certificate-request.js';
import { pemBlocks } from './pem.js';
import { isInTime, isIssuedBy, type TrustBundle } from './trust-bundle.js';
import { Untrusted } from './untrusted.js';

/** What belongs to a certificate and is not in it. */
export interface CertificateNotes {
  keyType: CertificateKeyType;
  /** The lifetime that was asked for, in seconds; null: the control plane's own. */
  lifetimeSeconds: number | null;
  /** By the control plane's clock. */
  obtainedAt: string;
  /** When the control plane wants it renewed; null when it did not say. */
  renewAfter: string | null;
}

/** A certificate of this node with its key. */
export interface NodeCertificate extends CertificateNotes {
  /** PEM, PKCS#8. */
  key: string;
  /** PEM. */
  certificate: string;
  /** PEM: what stands between the certificate and its root; may be empty. */
  intermediates: string;
  serial: string;
  notBefore: Date;
  notAfter: Date;
}

/** The PEM texts that make a certificate usable. */
export interface CertificateTexts {
  key: string;
  certificate: string;
  intermediates: string;
}

/** Whom a certificate must be for, and by whom. */
export interface CertificateExpectation {
  clusterId: string;
  nodeId: string;
  bundle: TrustBundle;
  /** Null: do not look at times; for one that was accepted earlier and is read back from disk. */
  now: Date | null;
}

/** Longest chain that is followed. */
const MAX_INTERMEDIATES = 4;

/**
 * Reads a certificate that the control plane issued: over the very key that was sent, for this node of this cluster
 * and nobody beside it, by a root of the bundle, and in time all the way up.
 * @throws Untrusted
 */
export function readNodeCertificate(
  texts: CertificateTexts,
  notes: CertificateNotes,
  expected: CertificateExpectation,
): NodeCertificate {
  const { leaf, intermediates, key } = parse(texts);
  if (!leaf.checkPrivateKey(key)) throw new Untrusted('another_key', 'the certificate is over another key');
  const name = `spiffe://${expected.clusterId}/node/${expected.nodeId}`;
  if (leaf.ca || leaf.subjectAltName !== `URI:${name}`)
    throw new Untrusted('another_node', `the certificate is not for ${name} alone`);
  if (!isInTime(leaf, expected.now)) throw new Untrusted('out_of_time', 'the certificate is not in its time');
  requirePath(leaf, intermediates, expected);
  return {
    ...texts,
    ...notes,
    serial: leaf.serialNumber,
    notBefore: new Date(leaf.validFrom),
    notAfter: new Date(leaf.validTo),
  };
}

/** Whether a root of the bundle still stands behind the certificate. */
export function isRooted({ certificate, intermediates }: CertificateTexts, bundle: TrustBundle): boolean {
  const chain = [certificate, ...pemBlocks(intermediates, 'CERTIFICATE')];
  const last = new X509Certificate(chain.at(-1) ?? certificate);
  return bundle.roots.some(({ x509 }) => isIssuedBy(last, x509));
}

function parse({ key, certificate, intermediates }: CertificateTexts): {
  leaf: X509Certificate;
  intermediates: X509Certificate[];
  key: KeyObject;
} {
  const blocks = pemBlocks(intermediates, 'CERTIFICATE');
  if (pemBlocks(certificate, 'CERTIFICATE').length !== 1 || blocks.length > MAX_INTERMEDIATES)
    throw new Untrusted('malformed', 'not one certificate with a short chain');
  try {
    return {
      leaf: new X509Certificate(certificate),
      intermediates: blocks.map((block) => new X509Certificate(block)),
      key: createPrivateKey(key),
    };
  } catch (cause) {
    throw new Untrusted('malformed', 'the certificate, its chain or its key cannot be read', { cause });
  }
}

/** From the certificate upwards, each by the next, the last by a root. */
function requirePath(
  leaf: X509Certificate,
  intermediates: readonly X509Certificate[],
  { bundle, now }: CertificateExpectation,
): void {
  let below = leaf;
  for (const issuer of intermediates) {
    if (!isIssuedBy(below, issuer) || !isInTime(issuer, now))
      throw new Untrusted('no_path_to_bundle', 'the chain does not hold together');
    below = issuer;
  }
  const top = below;
  const root = bundle.roots.find(({ x509 }) => isIssuedBy(top, x509) && isInTime(x509, now));
  if (root === undefined) throw new Untrusted('no_path_to_bundle', 'no root of the bundle issued it');
}
