import { z } from 'zod';
import { twoPartEtag } from '../../common/http/etag.js';
import { Id, Instant, Reason } from '../../common/http/fields.js';
import { PageQuery, pageOf } from '../../common/http/paging.js';
import { Force, Health, NodeView } from './nodes.schema.js';

export const PlatformNodeView = z
  .object({
    id: Id,
    machineId: z
      .string()
      .nullable()
      .describe('As the host reported it when it was first admitted.')
      .meta({ example: '4c4c4544-0038-4a10-8052-b7c04f4d4732' }),
    createdAt: Instant,
    memberships: z
      .array(
        z.object({
          clusterId: Id,
          name: z.string().meta({ example: 'edge-1' }),
          membershipStatus: NodeView.shape.membershipStatus,
          health: Health,
        }),
      )
      .describe('In every cluster, revoked ones included, newest first.'),
  })
  .meta({ id: 'PlatformNode' });
export type PlatformNodeView = z.infer<typeof PlatformNodeView>;

export const PlatformNodePage = pageOf(PlatformNodeView).meta({ id: 'PlatformNodePage' });

export const PlatformNodeQuery = PageQuery.extend({
  machineId: z
    .string()
    .min(1)
    .max(512)
    .optional()
    .meta({ description: 'Only hosts that reported this machine id.', example: 'machine-1' }),
  clusterId: Id.optional().describe('Only hosts that are, or were, members of this cluster.'),
});

export const RevokePlatformNode = z
  .strictObject({ reason: Reason, force: Force })
  .meta({ id: 'RevokePlatformNode' });

/** Health is observed, all else is config: a heartbeat stops no operator's change. */
export function platformNodeEtag({ id, machineId, memberships }: PlatformNodeView): string {
  const settled = memberships.map(({ health: _, ...membership }) => membership);
  return twoPartEtag(
    { id, machineId, memberships: settled },
    memberships.map(({ health }) => health),
  );
}
