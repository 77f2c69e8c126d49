import { z } from 'zod';
import { Id, Instant, LabelsPatch, NodeName, Reason } from '../../common/http/fields.js';
import { PageQuery, pageOf } from '../../common/http/paging.js';

export const HEALTH = ['unknown', 'online', 'degraded', 'stale', 'offline'] as const;
export const Health = z
  .enum(HEALTH)
  .describe(
    '`unknown` before the first heartbeat; `degraded` is online with a risky state, such as a failed workload.',
  );
export type Health = z.infer<typeof Health>;
const MembershipStatus = z.enum(['active', 'disabled', 'revoked']);

/** Facts as the agent reported them. */
export const NodeFacts = z
  .record(z.string(), z.json())
  .meta({ example: { os: 'linux', arch: 'x64', hostname: 'edge-1' } });

export const NodeView = z
  .object({
    nodeId: Id,
    clusterId: Id,
    name: z.string().meta({ example: 'edge-1' }),
    membershipStatus: MembershipStatus,
    health: Health,
    groupId: Id.nullable(),
    labels: z.record(z.string(), z.string()).meta({ example: { site: 'msk' } }),
    telemetryEnabled: z.boolean(),
    capabilities: z.array(z.string()).meta({ example: ['can_run_vpn_exit'] }),
    facts: NodeFacts,
    agentVersion: z.string().nullable().meta({ example: '0.1.0' }),
    os: z.string().meta({ example: 'linux' }),
    arch: z.string().meta({ example: 'x64' }),
    roles: z
      .array(z.string())
      .describe('Roles assigned and not disabled, effective or not.')
      .meta({ example: ['vpn-exit'] }),
    lastSeenAt: Instant.nullable(),
    joinedAt: Instant,
    snapshotGeneration: z.int().meta({ example: 3 }),
    appliedGeneration: z.int().nullable().meta({ example: 3 }),
    riskyStates: z.array(z.string()).describe('Kinds of risky states that hold now.').meta({ example: [] }),
  })
  .meta({ id: 'Node' });
export type NodeView = z.infer<typeof NodeView>;

export const NodePage = pageOf(NodeView).meta({ id: 'NodePage' });

export const NodeQuery = PageQuery.extend({
  health: Health.optional(),
  membershipStatus: MembershipStatus.optional(),
  role: z.string().max(64).optional().meta({ description: 'Only nodes with this role.' }),
  groupId: z.uuid().optional().meta({ description: 'Only nodes in this group or one below it.' }),
  label: z
    .string()
    .regex(/^[^=]{1,100}(=.{0,255})?$/, 'Must be name=value, or a name alone.')
    .optional()
    .meta({ description: 'Only nodes with this label, `name=value`, or with any value, `name`.' }),
  q: z
    .string()
    .min(1)
    .max(100)
    .optional()
    .meta({ description: 'Only nodes whose name, hostname or id contains this text.' }),
  filter: z.string().max(2000).optional().meta({
    description: 'Filter expression (AIP-160 subset), such as `health = "online" AND labels.site = "msk"`.',
  }),
});

export const PatchNode = z
  .strictObject({
    name: NodeName.optional(),
    groupId: Id.nullable().optional(),
    labels: LabelsPatch.nullable().optional(),
    telemetryEnabled: z.boolean().optional(),
  })
  .meta({ id: 'PatchNode' });

/** Goes on where `role_minimum_violated` would stop it. */
export const Force = z
  .boolean()
  .default(false)
  .describe('Go on although a role falls below its wanted minimum; needs a reason, and is audited.');

/** What takes work away for a while: a reason is needed only by who insists. */
export const Taking = z
  .strictObject({ reason: Reason.nullable().default(null), force: Force })
  .refine(({ reason, force }) => !force || reason !== null, {
    path: ['reason'],
    error: 'Must be given with force.',
  });

export const DisableNode = Taking.meta({ id: 'DisableNode' });

const Ending = z.strictObject({ reason: Reason, force: Force });

export const RevokeNode = Ending.meta({ id: 'RevokeNode' });

export const RevokeIdentity = Ending.meta({ id: 'RevokeIdentity' });
