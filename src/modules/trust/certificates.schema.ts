import { z } from 'zod';
import { Id, Instant } from '../../common/http/fields.js';
import { PageQuery, pageOf } from '../../common/http/paging.js';
import { CERTIFICATE_SECONDS, MIN_CERTIFICATE_SECONDS } from './certificate.js';
import { MAX_CSR_LENGTH } from './csr.js';

const PEM_EXAMPLE = '-----BEGIN CERTIFICATE-----\nMIIB...\n-----END CERTIFICATE-----\n';
const Serial = z
  .string()
  .describe('128 random bits in upper-case hexadecimal.')
  .meta({ example: '7F3A5C0D9B1E4F62A8C4D7E1B2F30495' });
const Status = z.enum(['active', 'expired', 'revoked']);

export const RequestCertificate = z
  .object({
    csr: z
      .string()
      .min(1)
      .max(MAX_CSR_LENGTH)
      .describe(
        'PEM PKCS#10, P-256 or Ed25519, any fresh key but the identity key. Only its public key is used.',
      )
      .meta({ example: '-----BEGIN CERTIFICATE REQUEST-----\nMIHT...\n-----END CERTIFICATE REQUEST-----\n' }),
    assertion: z
      .string()
      .max(8_192)
      .optional()
      .describe('A client assertion by the identity key with `csrHash` = base64url(SHA-256(csr)).')
      .meta({ example: 'eyJhbGciOiJFZERTQSJ9.e30.c2ln' }),
    lifetimeSeconds: z
      .int()
      .min(MIN_CERTIFICATE_SECONDS)
      .max(CERTIFICATE_SECONDS)
      .optional()
      .describe('A shorter lifetime than the default, which is the longest.')
      .meta({ example: CERTIFICATE_SECONDS }),
  })
  .meta({ id: 'RequestCertificate' });

export const IssuedCertificate = z
  .object({
    certificate: z.string().describe('PEM.').meta({ example: PEM_EXAMPLE }),
    certificateChain: z
      .string()
      .describe('PEM, from the issuer upwards without the root; empty where the root issues.')
      .meta({ example: '' }),
    trustBundle: z.string().describe('PEM: every root that is trusted.').meta({ example: PEM_EXAMPLE }),
    serial: Serial,
    notBefore: Instant,
    notAfter: Instant,
    renewAfter: Instant.describe('From two thirds of the lifetime on, spread over a tenth of it.'),
  })
  .meta({ id: 'IssuedCertificate' });
export type IssuedCertificate = z.infer<typeof IssuedCertificate>;

export const RenewalView = z
  .object({
    serial: Serial,
    status: Status,
    notAfter: Instant,
    suggestedWindow: z
      .object({ start: Instant, end: Instant })
      .describe('Renew at a random instant of it, at once when it is over (as RFC 9773 does).'),
    reason: z
      .enum(['scheduled', 'authority_tainted', 'revoked'])
      .describe(
        '`authority_tainted`: what the authority has issued is to be replaced now. `revoked`: the certificate was revoked ' +
          'with the key that had asked for it, and the node goes on with another key.',
      ),
  })
  .meta({ id: 'CertificateRenewal' });
export type RenewalView = z.infer<typeof RenewalView>;

export const CertificateView = z
  .object({
    serial: Serial,
    clusterId: Id,
    nodeId: Id,
    identityId: Id.nullable().describe(
      'The identity whose key asked for it; null where nobody knows any more.',
    ),
    authorityKid: z.string().meta({ example: 'NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs' }),
    keyThumbprint: z
      .string()
      .describe("RFC 7638, of the certificate's key.")
      .meta({ example: 'kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k' }),
    status: Status,
    issuedAt: Instant,
    notBefore: Instant,
    notAfter: Instant,
    revokedAt: Instant.nullable(),
    revocationReason: z.string().nullable().meta({ example: 'membership_revoked' }),
  })
  .meta({ id: 'Certificate' });
export type CertificateView = z.infer<typeof CertificateView>;

export const CertificatePage = pageOf(CertificateView).meta({ id: 'CertificatePage' });

export const CertificateQuery = PageQuery.extend({
  nodeId: Id.optional().meta({ description: 'Only those of this node.' }),
  status: Status.optional().meta({ description: 'Only those of this status.' }),
});
