import { z } from 'zod';
import { DisplayName, Id, Instant, Labels, LabelsPatch, Metadata } from '../../common/http/fields.js';
import { PageQuery, pageOf } from '../../common/http/paging.js';
import { isSlug } from '../../common/ids/slug.js';
import { AuthorityView } from '../authority/authority.schema.js';

const Slug = z
  .string()
  .max(63)
  .refine(isSlug, 'A slug is 1 to 63 of a-z 0-9 and -, not at its ends, and not a UUID.')
  .meta({ description: 'Stands in URLs beside the id; unique for ever.', example: 'moscow-edge' });
const Region = z
  .string()
  .min(1)
  .max(100)
  .regex(/^\P{C}+$/u, 'No control characters.')
  .meta({ example: 'eu-east' });

export const CreateCluster = z
  .strictObject({
    name: DisplayName,
    slug: Slug.optional().describe('Derived from the name when absent.'),
    region: Region.nullable().optional(),
    labels: Labels.optional(),
    metadata: Metadata.optional(),
  })
  .meta({ id: 'CreateCluster' });

export const PatchCluster = z
  .strictObject({
    name: DisplayName.optional(),
    region: Region.nullable().optional(),
    labels: LabelsPatch.nullable().optional(),
    metadata: z
      .record(z.string().max(200), z.json())
      .nullable()
      .optional()
      .describe('Merged into the metadata; null removes a member.'),
  })
  .meta({ id: 'PatchCluster' });

export const ClusterView = z
  .object({
    id: Id,
    name: z.string().meta({ example: 'Moscow edge' }),
    slug: z.string().meta({ example: 'moscow-edge' }),
    status: z.enum(['active', 'archived']),
    region: z.string().nullable().meta({ example: 'eu-east' }),
    labels: z.record(z.string(), z.string()).meta({ example: { site: 'msk' } }),
    metadata: z.record(z.string(), z.json()).meta({ example: {} }),
    authority: AuthorityView,
    createdAt: Instant,
    updatedAt: Instant,
  })
  .meta({ id: 'Cluster' });
export type ClusterView = z.infer<typeof ClusterView>;

export const ClusterQuery = PageQuery.extend({
  status: z.enum(['active', 'archived']).optional().meta({ description: 'Only clusters of this status.' }),
  q: z
    .string()
    .min(1)
    .max(100)
    .optional()
    .meta({ description: 'Only clusters whose name or slug contains this text.' }),
});

export const ClusterPage = pageOf(ClusterView).meta({ id: 'ClusterPage' });
