import {
  type CertificateKeyType,
  type CertificateRequest,
  makeCertificateRequest,
} from './certificate-request.js';
import type { TrustFiles } from './trust-files.js';

/** Keeps the request for which a certificate is awaited, so that every repeat asks with the same key. */
export class CertificateRequests {
  constructor(private readonly files: TrustFiles) {}

  /**
   * The request that is under way, or a new one of this type over a fresh key; on disk when this returns.
   * @param heldKey the key of the held certificate: the request for it is answered, should a crash have left it
   */
  async open(keyType: CertificateKeyType, heldKey: string | null): Promise<CertificateRequest> {
    const standing = await this.find();
    if (standing !== null && standing.keyType === keyType && standing.key !== heldKey) return standing;
    const made = await makeCertificateRequest(keyType);
    await this.files.writeRequest(`${JSON.stringify(made, null, 2)}\n`);
    return made;
  }

  /** The request that is under way; null when there is none, or one that nobody can read. */
  async find(): Promise<CertificateRequest | null> {
    const text = await this.files.readRequest();
    if (text === null) return null;
    try {
      const { keyType, key, csr } = JSON.parse(text) as Partial<CertificateRequest>;
      return keyType !== undefined && key !== undefined && csr !== undefined ? { keyType, key, csr } : null;
    } catch {
      return null;
    }
  }

  /** Its certificate is there, or will never be. */
  drop(): Promise<void> {
    return this.files.removeRequest();
  }
}
