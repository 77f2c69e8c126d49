import { z } from 'zod';
import { ActorRef, Id, Instant, KeptInstantInput, Reason } from '../../common/http/fields.js';
import { PageQuery, pageOf } from '../../common/http/paging.js';
import { MAX_NAMED_NODES, NodeSelector } from '../nodes/node-selector.js';
import { EMERGENCY_PIN_STATUSES } from './emergency-pin.js';
import { ROLLOUT_STATES } from './engine/rollout-state.js';

const ScopeInput = z
  .strictObject({
    all: z.literal(true).optional().describe('Every node of the cluster.'),
    nodeIds: z.array(Id).min(1).max(MAX_NAMED_NODES).optional().describe('These nodes.'),
    selector: NodeSelector.optional().describe('The nodes that it selects now.'),
  })
  .superRefine(({ all, nodeIds, selector }, context) => {
    if ([all, nodeIds, selector].filter((each) => each !== undefined).length !== 1)
      context.addIssue({ code: 'custom', message: 'Name exactly one of all, nodeIds and selector.' });
  })
  .meta({ id: 'EmergencyPinScope', example: { all: true } });

export const CreateEmergencyPin = z
  .strictObject({
    product: z.string().min(1).max(63).meta({ example: 'rap-node-agent' }),
    version: z.string().min(1).max(128).meta({ example: '1.0.0' }),
    scope: ScopeInput.describe('Which nodes. Who joins later is not among them.'),
    reason: Reason,
    expiresAt: KeptInstantInput.describe('At this instant it decides no more; at most 30 days from now.'),
    maxUnavailable: z
      .int()
      .min(1)
      .max(100_000)
      .optional()
      .describe(
        'Nodes of the product that may be out of service while it leads its own; absent: as many as the rollout under way allows, or 1.',
      )
      .meta({ example: 5 }),
  })
  .meta({ id: 'CreateEmergencyPin' });
export type CreateEmergencyPin = z.infer<typeof CreateEmergencyPin>;

const NodeCounts = z
  .object({
    covered: z.int().describe('Members among the nodes that it was made for.').meta({ example: 12 }),
    onVersion: z.int().meta({ example: 7 }),
    waiting: z.int().describe('Whose turn has not come.').meta({ example: 2 }),
    inProgress: z.int().describe('They prepare, or are out of service.').meta({ example: 1 }),
    failed: z.int().describe('They have gone back, failed, or are lost or fenced.').meta({ example: 0 }),
    deferred: z
      .record(z.string(), z.int())
      .describe('Nodes that cannot be led now, by reason.')
      .meta({ example: { offline: 1, update_in_progress: 1 } }),
  })
  .meta({ id: 'EmergencyPinNodes' });

export const EmergencyPinView = z
  .object({
    id: Id,
    clusterId: Id,
    product: z.string().meta({ example: 'rap-node-agent' }),
    version: z.string().meta({ example: '1.0.0' }),
    scope: z
      .object({
        all: z.literal(true).optional(),
        nodeIds: z.array(Id).optional(),
        selector: z.json().optional(),
      })
      .meta({ example: { all: true } }),
    reason: z.string().meta({ example: '2.0.0 drops sessions.' }),
    status: z
      .enum(EMERGENCY_PIN_STATUSES)
      .describe('It decides while it is `in_force`. `expired` holds at its instant.')
      .meta({ example: 'in_force' }),
    expiresAt: Instant,
    maxUnavailable: z.int().meta({ example: 5 }),
    rolloutId: Id.describe('The rollout, of `kind` `emergency`, that leads its nodes.'),
    rolloutState: z.enum(ROLLOUT_STATES).meta({ example: 'running' }),
    rolloutStateReason: z.string().nullable().meta({ example: null }),
    planHash: z.string().describe('What approvals are for.'),
    approvals: z.array(z.object({ approver: ActorRef, approvedAt: Instant })),
    nodes: NodeCounts,
    createdBy: ActorRef,
    createdAt: Instant,
    activatedAt: Instant.nullable(),
    endedAt: Instant.nullable().meta({ example: null }),
    endReason: z.string().nullable().meta({ example: null }),
  })
  .meta({ id: 'EmergencyPin' });
export type EmergencyPinView = z.infer<typeof EmergencyPinView>;
export const EmergencyPinPage = pageOf(EmergencyPinView).meta({ id: 'EmergencyPinPage' });
export const EmergencyPinQuery = PageQuery.extend({
  product: z
    .string()
    .max(63)
    .optional()
    .meta({ description: 'Only of this product.', example: 'rap-node-agent' }),
  status: z.enum(EMERGENCY_PIN_STATUSES).optional().describe('Only those that are so now.'),
});
export type EmergencyPinQuery = z.infer<typeof EmergencyPinQuery>;

export const LiftEmergencyPin = z.strictObject({ reason: Reason }).meta({ id: 'LiftEmergencyPin' });
