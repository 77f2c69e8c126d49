import { z } from 'zod';
import { Id, Instant } from '../../common/http/fields.js';
import { PageQuery, pageOf } from '../../common/http/paging.js';
import { ClusterView } from '../clusters/clusters.schema.js';
import { RoleCoverageView } from '../roles/role-coverage.schema.js';

const count = () => z.int().min(0).meta({ example: 0 });
const Severity = z.enum(['warning', 'critical']);
const Kind = z.string().meta({ example: 'role_capability_missing' });

/** Something that works now and should not be left so. */
export const RiskyState = z
  .object({
    kind: Kind,
    resource: z.object({
      type: z.string().meta({ example: 'node' }),
      id: Id,
      name: z.string().nullable().meta({ example: 'edge-1' }),
    }),
    since: Instant.nullable().describe(
      'null where the state follows from others and nobody wrote down its beginning.',
    ),
    severity: Severity,
    acknowledgedBy: z.string().nullable(),
  })
  .meta({ id: 'RiskyState' });
export type RiskyState = z.infer<typeof RiskyState>;

export const RiskyStatePage = pageOf(RiskyState).meta({ id: 'RiskyStatePage' });

export const RiskyStateQuery = PageQuery.extend({
  kind: z
    .string()
    .regex(/^[a-z_]{1,64}$/, 'A kind is 1 to 64 of a-z and _.')
    .optional()
    .meta({ description: 'Only states of this kind.', example: 'certificate_expired' }),
});

const NodesByHealth = z
  .object({ online: count(), degraded: count(), stale: count(), offline: count(), unknown: count() })
  .describe('Members that are not revoked, by health.');
const JoinRequests = z.object({ pending: count() });
const RoleGaps = z.array(RoleCoverageView).describe('Roles that fewer nodes fill than are wanted.');

/** A cluster at a glance. */
export const ClusterSummary = z
  .object({
    nodes: NodesByHealth,
    joinRequests: JoinRequests,
    roleGaps: RoleGaps,
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
    leases: z
      .record(z.string(), z.int())
      .describe('VPN connections: `active` ones are held, `free` ones are enabled and held by nobody.')
      .meta({ example: { active: 3, free: 1, disabled: 0 } }),
    rollouts: z
      .record(z.string(), z.int())
      .describe('Rollouts by their state.')
      .meta({ example: { draft: 1, running: 1, succeeded: 4 } }),
    riskyStates: z.array(RiskyState).describe('The first 20; all of them under /risky-states.'),
  })
  .meta({ id: 'ClusterSummary' });
export type ClusterSummary = z.infer<typeof ClusterSummary>;

/** One cluster among all. */
export const ClusterOverview = z
  .object({
    cluster: ClusterView.pick({ id: true, name: true, slug: true, status: true, region: true }),
    authority: ClusterView.shape.authority,
    members: z.object({ active: count(), disabled: count() }),
    nodes: NodesByHealth,
    joinRequests: JoinRequests,
    roleGaps: RoleGaps,
    capacity: z
      .object({ nodes: count(), cpuCount: count(), memoryBytes: count(), memoryUsedBytes: count() })
      .describe('Of active members that report, added up: processors and memory as they say.'),
    riskyStates: z
      .array(z.object({ kind: Kind, severity: Severity, count: count() }))
      .describe('How many members are in each, and those of the cluster itself, critical ones first.'),
  })
  .meta({ id: 'ClusterOverview' });
export type ClusterOverview = z.infer<typeof ClusterOverview>;

export const OverviewPage = pageOf(ClusterOverview).meta({ id: 'OverviewPage' });
