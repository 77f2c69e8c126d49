import { z } from 'zod';
import { Id, Instant } from '../../common/http/fields.js';
import { PageQuery, pageOf } from '../../common/http/paging.js';
import { isUuid } from '../../common/ids/uuid.js';

const GroupName = z
  .string()
  .min(1)
  .max(100)
  .regex(/^\P{C}+$/u, 'No control characters.')
  .refine((name) => name.trim() === name, 'No space at the beginning or the end.')
  .meta({ example: 'edge' });
const ParentId = Id.nullable().describe('The group above; null at the root.');

export const CreateNodeGroup = z
  .strictObject({ name: GroupName, parentId: ParentId.optional() })
  .meta({ id: 'CreateNodeGroup' });

export const PatchNodeGroup = z
  .strictObject({ name: GroupName.optional(), parentId: ParentId.optional() })
  .meta({ id: 'PatchNodeGroup' });

export const NodeGroupView = z
  .object({
    id: Id,
    clusterId: Id,
    name: z.string().meta({ example: 'edge' }),
    parentId: Id.nullable().meta({ example: null }),
    createdAt: Instant,
    updatedAt: Instant,
  })
  .meta({ id: 'NodeGroup' });
export type NodeGroupView = z.infer<typeof NodeGroupView>;

export const NodeGroupPage = pageOf(NodeGroupView).meta({ id: 'NodeGroupPage' });

/** What names the place above all groups in a filter. */
export const ROOT = 'root';

export const NodeGroupQuery = PageQuery.extend({
  parentId: z
    .string()
    .refine((text) => text === ROOT || isUuid(text), 'Must be the id of a group, or root.')
    .optional()
    .meta({
      description: 'Only groups directly below this one, or `root` for those without a parent.',
      example: ROOT,
    }),
});
