import { X509Certificate } from 'node:crypto';
import type { CertificateNotes } from './node-certificate.js';
import { TrustFiles } from './trust-files.js';

/** `notes.json`: what the PEM files do not say, or not without being read. */
export interface TrustNotes {
  certificate: CertificateNotes | null;
  bundleFingerprint: string | null;
  revocationEpochApplied: number | null;
}

/** What `status` shows of the node's certificate and of whom it trusts. */
export interface TrustSummary {
  certificate: { serial: string; notAfter: string; renewAfter: string | null; isExpired: boolean } | null;
  bundleFingerprint: string | null;
  revocationEpochApplied: number | null;
}

const NOTHING: TrustSummary = { certificate: null, bundleFingerprint: null, revocationEpochApplied: null };

/** Reads the summary from disk; takes no lock, verifies nothing. What cannot be read counts as absent. */
export async function readTrustSummary(stateDirectory: string, now: Date): Promise<TrustSummary> {
  const { certificate, notes } = await new TrustFiles(stateDirectory).read();
  if (notes === undefined) return NOTHING;
  try {
    const { certificate: kept, bundleFingerprint, revocationEpochApplied } = JSON.parse(notes) as TrustNotes;
    const x509 = certificate === undefined ? null : new X509Certificate(certificate);
    const notAfter = x509 === null ? null : new Date(x509.validTo);
    return {
      certificate: x509 &&
        notAfter && {
          serial: x509.serialNumber,
          notAfter: notAfter.toISOString(),
          renewAfter: kept?.renewAfter ?? null,
          isExpired: notAfter <= now,
        },
      bundleFingerprint,
      revocationEpochApplied,
    };
  } catch {
    return NOTHING;
  }
}
