import { z } from 'zod';
import { Id, Instant } from '../../common/http/fields.js';
import { PageQuery, pageOf } from '../../common/http/paging.js';
import { ServiceType } from '../nodes/workload-report.schema.js';
import { ProductName } from './manifest.schema.js';

const Kind = z.enum(['node-agent', 'workload']);
const Threshold = z
  .int()
  .min(1)
  .max(16)
  .describe('So many different keys must have signed a release.')
  .meta({ example: 2 });

export const CreateProduct = z
  .strictObject({
    name: ProductName,
    kind: Kind.describe('The agent itself, or workloads of a service type.'),
    serviceType: ServiceType.optional().describe(
      'Whose workloads it brings; for workloads alone, and the name of the product where it is absent.',
    ),
    signatureThreshold: Threshold.default(1),
  })
  .refine(({ kind, serviceType }) => kind === 'workload' || serviceType === undefined, {
    path: ['serviceType'],
    error: 'Only workloads have a service type.',
  })
  .meta({ id: 'CreateProduct' });

export const PatchProduct = z
  .strictObject({ signatureThreshold: Threshold })
  .partial()
  .meta({ id: 'PatchProduct' });

export const ProductView = z
  .object({
    id: Id,
    name: ProductName,
    kind: Kind,
    serviceType: z.string().nullable().meta({ example: null }),
    signatureThreshold: Threshold,
    createdAt: Instant,
    updatedAt: Instant,
  })
  .meta({ id: 'Product' });
export type ProductView = z.infer<typeof ProductView>;

export const ProductQuery = PageQuery.extend({
  kind: Kind.optional().meta({ description: 'Only those of this kind.' }),
  serviceType: ServiceType.optional().meta({ description: 'Only those that bring workloads of this type.' }),
});

export const ProductPage = pageOf(ProductView).meta({ id: 'ProductPage' });
