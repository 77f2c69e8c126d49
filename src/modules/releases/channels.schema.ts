import { z } from 'zod';
import { Id, Instant } from '../../common/http/fields.js';
import { PageQuery, pageOf } from '../../common/http/paging.js';
import { CHANNELS } from './channel.js';
import { ProductName, Version } from './manifest.schema.js';

const Channel = z.enum(CHANNELS);

export const PutChannel = z.strictObject({ version: Version }).meta({ id: 'PutChannel' });

export const ChannelView = z
  .object({
    clusterId: Id,
    product: ProductName,
    channel: Channel,
    version: Version.nullable().describe('null: it points nowhere, at first or after a block.'),
    revision: z
      .int()
      .describe('Grows with each move; 0: it has never pointed anywhere.')
      .meta({ example: 3 }),
    updatedAt: Instant.nullable(),
  })
  .meta({ id: 'Channel' });
export type ChannelView = z.infer<typeof ChannelView>;

export const ChannelQuery = PageQuery.extend({
  product: ProductName.optional().meta({ description: 'Only those of this product.' }),
});

export const ChannelPage = pageOf(ChannelView).meta({ id: 'ChannelPage' });
