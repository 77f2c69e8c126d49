import type { X509Certificate } from 'node:crypto';
import type { SecureContextOptions } from 'node:tls';
import { appliedEpoch, type Trust } from '../trust/trust-store.js';

/**
 * By what a member of the cluster proves itself to another, and whom it believes; null: it cannot yet. Who does not know
 * what was revoked believes nobody.
 */
export function memberContext(trust: Trust): SecureContextOptions | null {
  const { certificate, bundle } = trust;
  if (certificate === null || bundle === null || appliedEpoch(trust) === null) return null;
  return {
    key: certificate.key,
    cert: `${certificate.certificate.trimEnd()}\n${certificate.intermediates}`,
    // The cluster's own roots and no others: what the host trusts elsewhere has no say here.
    ca: bundle.pem,
    minVersion: 'TLSv1.3',
  };
}

/** What a certificate that its chain holds up says of a member. */
export type Membership = { nodeId: string } | { refused: 'another_name' | 'revoked' };

const NODE_ID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** Which member of the cluster the certificate is for, unless a list of the cluster has revoked it. */
export function memberOf(
  { subjectAltName, serialNumber }: Pick<X509Certificate, 'subjectAltName' | 'serialNumber'>,
  clusterId: string,
  { lists }: Pick<Trust, 'lists'>,
): Membership {
  const prefix = `URI:spiffe://${clusterId}/node/`;
  const nodeId = subjectAltName?.startsWith(prefix) === true ? subjectAltName.slice(prefix.length) : '';
  if (!NODE_ID.test(nodeId)) return { refused: 'another_name' };
  if (lists.some(({ serials }) => serials.has(serialNumber))) return { refused: 'revoked' };
  return { nodeId };
}
