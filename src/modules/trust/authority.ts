import { createHash } from 'node:crypto';
import type { ClusterKeyRow, KeyPhase } from '../clusters/cluster-key-store.js';

/** A certificate authority of a cluster. */
export interface CertificateAuthority {
  kid: string;
  phase: KeyPhase;
  /** PEM. */
  certificate: string;
  /** By which the signer finds the key. */
  handle: Buffer;
  createdAt: Date;
}

/** What nodes of a cluster trust. */
export interface TrustBundle {
  /** PEM: the roots one after the other, oldest first. */
  pem: string;
  /** SHA-256 of `pem`. */
  fingerprint: Buffer;
}

/** The authority that a key row holds. @throws Error when it has no certificate */
export function authorityOf({
  kid,
  phase,
  certificate,
  sealedPrivateKey,
  createdAt,
}: ClusterKeyRow): CertificateAuthority {
  if (certificate === null) throw new Error(`the authority ${kid} has no certificate`);
  return { kid, phase, certificate, handle: sealedPrivateKey, createdAt };
}

/** All that is trusted: every authority that is not retired, the one that is only prepared included, so that nodes
 *  know it before it issues. @param authorities oldest first: the order is a part of the fingerprint */
export function trustBundle(
  authorities: readonly Pick<CertificateAuthority, 'phase' | 'certificate'>[],
): TrustBundle {
  const pem = authorities
    .filter(({ phase }) => phase !== 'retired')
    .map(({ certificate }) => certificate)
    .join('');
  return { pem, fingerprint: createHash('sha256').update(pem).digest() };
}
