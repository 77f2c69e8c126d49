import { z } from 'zod';
import { Id, Instant } from '../../common/http/fields.js';
import { PageQuery, pageOf } from '../../common/http/paging.js';

const Epoch = z.int().describe("The cluster's revocation epoch that it raised.").meta({ example: 7 });
const milliseconds = (what: string) => z.int().nullable().describe(what).meta({ example: 840 });

export const RevocationSummary = z
  .object({
    epoch: Epoch,
    clusterId: Id,
    nodeId: Id.describe('Whose membership, or key, was revoked.'),
    identityId: Id.nullable()
      .describe('The one key of the node that was revoked; null: its membership was.')
      .meta({ example: null }),
    reason: z.string().nullable().meta({ example: 'Host was decommissioned.' }),
    revokedAt: Instant,
  })
  .meta({ id: 'RevocationSummary' });
export type RevocationSummary = z.infer<typeof RevocationSummary>;

const Member = z.object({
  nodeId: Id,
  name: z.string().meta({ example: 'edge-1' }),
  lastSeenAt: Instant.nullable(),
});

export const RevocationView = RevocationSummary.extend({
  members: z.int().describe('Members that are not revoked: all who have to apply it.').meta({ example: 12 }),
  appliedCount: z.int().meta({ example: 11 }),
  pendingCount: z.int().meta({ example: 1 }),
  latencyMilliseconds: z
    .object({
      median: milliseconds('Half of those who have applied it had done so after this time.'),
      p95: milliseconds('19 of 20 of them.'),
      max: milliseconds('The slowest of them so far.'),
    })
    .describe(
      'From the revocation to the first heartbeat that said it was applied, of those who were members then.',
    ),
  applied: z
    .array(Member.extend({ appliedAt: Instant.nullable().describe('Null where it is no longer kept.') }))
    .describe('The first 100 by node id.'),
  pending: z
    .array(Member.extend({ epochApplied: z.int().nullable().describe('What the node says it applies.') }))
    .describe('Who has not applied it: the first 100 by node id.'),
}).meta({ id: 'Revocation' });
export type RevocationView = z.infer<typeof RevocationView>;

export const RevocationPage = pageOf(RevocationSummary).meta({ id: 'RevocationPage' });
export const RevocationQuery = PageQuery;
