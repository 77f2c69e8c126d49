import { z } from 'zod';
import { Id } from '../http/fields.js';

const PatchOperation = z
  .object({
    op: z.enum(['add', 'remove', 'replace', 'move', 'copy', 'test']).meta({ example: 'replace' }),
    path: z.string().meta({ example: '/membership/status' }),
    from: z.string().optional(),
    value: z.json().optional().meta({ example: 'disabled' }),
  })
  .meta({ id: 'PatchOperation', example: { op: 'replace', path: '/membership/status', value: 'disabled' } });

const PlannedChange = z
  .object({
    clusterId: Id,
    nodeId: Id,
    before: z.json().meta({
      description: 'Snapshot content now; null where there is none.',
      example: { membership: { status: 'active' } },
    }),
    after: z
      .json()
      .meta({ description: 'Snapshot content afterwards.', example: { membership: { status: 'disabled' } } }),
    patch: z.array(PatchOperation).describe('RFC 6902, from `before` to `after`.'),
  })
  .meta({ id: 'PlannedChange' });

/** What a dry run answers. */
export const Plan = z
  .object({
    dryRun: z.literal(true),
    result: z.json().meta({
      description: 'What the call would answer, without once-only secrets; null where it answers nothing.',
      example: null,
    }),
    affectedNodes: z.int().min(0).describe('Nodes whose snapshot would change.').meta({ example: 1 }),
    changes: z.array(PlannedChange).describe('The first 100 of them by node id.'),
    changesTruncated: z.boolean(),
    planHash: z.string().meta({
      description: 'Send it as `X-Plan-Hash` to apply exactly this.',
      example: 'mJ0u3m0rW3vC7yQeZ6m1n2Zk8mJm0cQv9m1yq2b3c4d',
    }),
  })
  .meta({ id: 'Plan' });
