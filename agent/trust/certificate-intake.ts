import { type Fields, optionalText, textField } from '../answer-fields.js';
import {
  type CertificateTexts,
  isRooted,
  type NodeCertificate,
  readNodeCertificate,
} from './node-certificate.js';
import type { CertificateWish } from './renewal-plan.js';
import { readTrustBundle } from './trust-bundle.js';
import type { TrustStore } from './trust-store.js';

/** What a certificate was asked for with, and what it must fit. */
export interface CertificateOrder {
  /** PEM of the key that the request was over. */
  key: string;
  wish: CertificateWish;
  nodeId: string;
  clusterId: string;
  now: Date;
}

/**
 * Verifies a certificate that the control plane answers with and puts it in the place of the old one, which counts until
 * the new one is on disk. The request that it was for is done with then.
 * @throws Untrusted
 */
export async function takeCertificate(
  store: TrustStore,
  answer: Fields,
  { key, wish, nodeId, clusterId, now }: CertificateOrder,
): Promise<NodeCertificate> {
  const texts: CertificateTexts = {
    key,
    certificate: textField(answer, 'certificate'),
    intermediates: optionalText(answer, 'certificateChain') ?? '',
  };
  const sent = await readTrustBundle(textField(answer, 'trustBundle'), { clusterId, now });
  const notes = { ...wish, obtainedAt: now.toISOString(), renewAfter: instantIn(answer, 'renewAfter') };
  // Checked before anything is written; by which of the two bundles is decided when it is.
  const certificate = readNodeCertificate(texts, notes, { nodeId, clusterId, bundle: sent, now });
  await store.update((held) => {
    // The held bundle stays as long as it has the root: newer ones come by heartbeat, and this answer may have been slow.
    const bundle = held.bundle !== null && isRooted(texts, held.bundle) ? held.bundle : sent;
    const lists = held.lists.filter((list) => bundle.roots.some(({ kid }) => kid === list.authorityKid));
    return { certificate, bundle, lists };
  });
  await store.requests.drop();
  return certificate;
}

function instantIn(fields: Fields, name: string): string | null {
  const text = optionalText(fields, name);
  return text === null || Number.isNaN(Date.parse(text)) ? null : text;
}
