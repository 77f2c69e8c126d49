import { z } from 'zod';
import { DisplayName, Id, Instant, Reason } from '../../common/http/fields.js';
import { PageQuery, pageOf } from '../../common/http/paging.js';
import { PublicJwk } from '../nodes/node-key.js';
import { ProductName } from './manifest.schema.js';

const KeyId = z
  .string()
  .describe('RFC 7638 thumbprint: the `keyid` of an envelope.')
  .meta({ example: 'kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k' });

export const CreateSigningKey = z
  .strictObject({
    name: DisplayName.meta({ example: 'Release key of Ada' }),
    publicKey: PublicJwk,
    products: z
      .array(ProductName)
      .max(100)
      .optional()
      .describe('The products that it signs for; absent: all, also those that come later.')
      .meta({ example: ['rap-node-agent'] }),
  })
  .meta({ id: 'CreateSigningKey' });

export const RevokeSigningKey = z
  .strictObject({ reason: Reason.optional() })
  .meta({ id: 'RevokeSigningKey' });

export const SigningKeyView = z
  .object({
    id: Id,
    name: DisplayName.meta({ example: 'Release key of Ada' }),
    keyId: KeyId,
    publicKey: PublicJwk,
    products: z
      .array(ProductName)
      .nullable()
      .describe('null: all, also those that come later.')
      .meta({ example: ['rap-node-agent'] }),
    status: z.enum(['active', 'revoked']),
    createdAt: Instant,
    revokedAt: Instant.nullable().meta({ example: null }),
    revokedReason: z.string().nullable().meta({ example: null }),
  })
  .meta({ id: 'SigningKey' });
export type SigningKeyView = z.infer<typeof SigningKeyView>;

export const SigningKeyQuery = PageQuery.extend({
  product: ProductName.optional().meta({ description: 'Only those that sign for this product.' }),
  status: z.enum(['active', 'revoked']).optional().meta({ description: 'Only those of this status.' }),
});

export const SigningKeyPage = pageOf(SigningKeyView).meta({ id: 'SigningKeyPage' });
