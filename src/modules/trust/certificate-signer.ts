import type { KeyObject } from 'node:crypto';

/** The private key of an authority, as its signer finds it. */
export interface AuthorityKey {
  clusterId: string;
  /** What {@link CertificateSigner.generate} returned: the sealed key itself here, the name of a key in a KMS. */
  handle: Buffer;
}

/**
 * Holds the private keys of certificate authorities. A KMS or a Vault transit backend can stand in its place, so
 * nothing here gives a key out, and nothing calls it inside a transaction but the creation of a cluster.
 */
export interface CertificateSigner {
  /** Makes a P-256 key pair for the cluster. */
  generate(clusterId: string): Promise<{ publicKey: KeyObject; handle: Buffer }>;
  /** ECDSA with SHA-256 over `tbs`; the signature is r and s, 32 bytes each (IEEE P1363). */
  sign(key: AuthorityKey, tbs: Uint8Array): Promise<Buffer>;
}

/** Injection token of the {@link CertificateSigner}. */
export const CERTIFICATE_SIGNER = Symbol('CertificateSigner');
