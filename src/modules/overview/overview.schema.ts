import { z } from 'zod';
import { Id, Instant } from '../../common/http/fields.js';
import { pageOf } from '../../common/http/paging.js';
import { RoleCoverageView } from '../roles/role-coverage.schema.js';

const count = () => z.int().min(0).meta({ example: 0 });

/** Something that works now and should not be left so. */
export const RiskyState = z
  .object({
    kind: z.string().meta({ example: 'role_capability_missing' }),
    resource: z.object({
      type: z.string().meta({ example: 'node' }),
      id: Id,
      name: z.string().nullable().meta({ example: 'edge-1' }),
    }),
    since: Instant.nullable().describe(
      'null where the state follows from others and nobody wrote down its beginning.',
    ),
    severity: z.enum(['warning', 'critical']),
    acknowledgedBy: z.string().nullable(),
  })
  .meta({ id: 'RiskyState' });
export type RiskyState = z.infer<typeof RiskyState>;

export const RiskyStatePage = pageOf(RiskyState).meta({ id: 'RiskyStatePage' });

/** A cluster at a glance. */
export const ClusterSummary = z
  .object({
    nodes: z
      .object({ online: count(), degraded: count(), stale: count(), offline: count(), unknown: count() })
      .describe('Members that are not revoked, by health.'),
    joinRequests: z.object({ pending: count() }),
    roleGaps: z.array(RoleCoverageView).describe('Roles that fewer nodes fill than are wanted.'),
    workloads: z
      .object({
        unknown: count(),
        starting: count(),
        running: count(),
        degraded: count(),
        stopping: count(),
        stopped: count(),
        failed: count(),
        unsupported: count(),
        outOfSync: count().describe('Of all these, those that are not as they should be.'),
        notDesired: count().describe('Reported, and not wanted by anybody; counted here alone.'),
      })
      .describe('What is wanted of members that are not revoked, by what is reported of it.'),
    leases: z.record(z.string(), z.int()),
    rollouts: z.record(z.string(), z.int()),
    riskyStates: z.array(RiskyState).describe('The first 20; all of them under /risky-states.'),
  })
  .meta({ id: 'ClusterSummary' });
export type ClusterSummary = z.infer<typeof ClusterSummary>;
