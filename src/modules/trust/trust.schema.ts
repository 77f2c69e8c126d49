import { z } from 'zod';
import { Id, Instant } from '../../common/http/fields.js';

const Kid = z.string().meta({ example: 'NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs' });
const Sha256 = z
  .string()
  .meta({ example: '0f4d1cf5ec3a4f5bcb33fbbd2bc2cbd1b5c62f3cc4a9bd2a1de0e2a2be8c8f31' });
const Phase = z
  .enum(['prepared', 'active', 'superseded', 'tainted', 'retired'])
  .describe(
    '`prepared`: trusted, signs nothing yet. `active`: signs. `superseded`: signs no more, what it signed is good. ' +
      '`tainted`: what it signed is to be replaced now. `retired`: not trusted any more.',
  );

export const TrustView = z
  .object({
    clusterId: Id,
    authorities: z
      .array(
        z.object({
          kid: Kid,
          phase: Phase,
          active: z.boolean(),
          subject: z.string().meta({ example: 'CN=Fabric CA 019ab0c4-7e11-7a52-8d3f-5a0d7f0f3c21 NzbLsXh8' }),
          fingerprint: Sha256.describe('SHA-256 of the certificate in DER, in hexadecimal.'),
          notBefore: Instant,
          notAfter: Instant,
          certificate: z
            .string()
            .describe('PEM.')
            .meta({ example: '-----BEGIN CERTIFICATE-----\nMIIB...\n-----END CERTIFICATE-----\n' }),
        }),
      )
      .describe('Oldest first, retired ones included.'),
    snapshotKeys: z
      .array(z.object({ kid: Kid, phase: Phase, active: z.boolean(), createdAt: Instant }))
      .describe('Oldest first, retired ones included.'),
    bundleFingerprint: Sha256.describe('SHA-256 of the trust bundle, as nodes say it in heartbeats.'),
    revocationEpoch: z.int().meta({ example: 7 }),
  })
  .meta({ id: 'Trust' });
export type TrustView = z.infer<typeof TrustView>;

export const CrlQuery = z.strictObject({
  authority: z
    .string()
    .regex(/^[A-Za-z0-9_-]{43}$/, 'Must be the kid of an authority.')
    .optional()
    .meta({
      description:
        'The authority whose list it is, by `kid` (the RFC 7638 thumbprint of its key); the active one when absent. A ' +
        'certificate names its own.',
      example: 'NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs',
    }),
});
