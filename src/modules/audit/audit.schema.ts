import { z } from 'zod';
import { Id, Instant, InstantInput } from '../../common/http/fields.js';
import { PageQuery, pageOf } from '../../common/http/paging.js';

const OUTCOMES = ['success', 'denied', 'failed'] as const;
const ACTOR_TYPES = ['user', 'api_token', 'bootstrap', 'node', 'system', 'anonymous'] as const;

const Text = z
  .string()
  .min(1)
  .max(200)
  .regex(/^\P{Cc}+$/u, 'No control characters.');
const Action = z.string().meta({ example: 'join_token.created' });
const ResourceType = z.string().meta({ example: 'join_token' });

export const AuditEventView = z
  .object({
    id: Id,
    sequence: z
      .int()
      .nullable()
      .meta({ description: 'Dense leaf index; null until the event is sealed.', example: null }),
    occurredAt: Instant,
    actor: z.object({
      type: z.enum(ACTOR_TYPES),
      id: z.string().nullable().meta({ example: 'bootstrap' }),
      displayName: z.string().nullable().meta({ example: 'Bootstrap token' }),
      ip: z.string().nullable().meta({ example: '192.0.2.7' }),
      userAgent: z.string().nullable().meta({ example: 'curl/8.5.0' }),
    }),
    action: Action,
    resource: z.object({
      type: ResourceType,
      id: z.string().nullable().meta({ example: '019ab0c4-7e11-7a52-8d3f-5a0d7f0f3c21' }),
      name: z.string().nullable().meta({ example: null }),
    }),
    clusterId: Id.nullable(),
    organizationId: Id.nullable().meta({ example: null }),
    outcome: z.enum(OUTCOMES),
    highRisk: z.boolean(),
    requestId: z.string().nullable().meta({ example: '019ab0c4-7e0f-7c31-9b0e-2f6b1c9d4e55' }),
    reason: z.string().nullable().meta({ example: null }),
    before: z.json().meta({ description: 'What the change replaced; no secrets.', example: null }),
    after: z.json().meta({ description: 'What the change set; no secrets.', example: { maxUses: 1 } }),
  })
  .meta({ id: 'AuditEvent' });
export type AuditEventView = z.infer<typeof AuditEventView>;

export const AuditEventPage = pageOf(AuditEventView).meta({ id: 'AuditEventPage' });

const filters = {
  clusterId: Id.optional().describe('Only events of this cluster.'),
  organizationId: Id.optional().describe('Only events of this organization.'),
  actorId: Text.optional().meta({ description: 'Only what this principal did.', example: 'bootstrap' }),
  actorType: z.enum(ACTOR_TYPES).optional().describe('Only what principals of this type did.'),
  action: Text.optional().meta({ description: 'Only this action.', example: 'join_token.created' }),
  resourceType: Text.optional().meta({ description: 'Only resources of this type.', example: 'join_token' }),
  resourceId: Text.optional().describe('Only this resource.'),
  from: InstantInput.optional().describe('Only events at or after this instant.'),
  to: InstantInput.optional().describe('Only events before this instant.'),
  highRisk: z
    .enum(['true', 'false'])
    .transform((text) => text === 'true')
    .optional()
    .meta({ description: 'Only high-risk operations, or only others.', example: 'true' }),
  outcome: z.enum(OUTCOMES).optional().describe('Only attempts that ended so.'),
  requestId: Text.optional().describe('Only events of this request.'),
  q: Text.optional().meta({
    description:
      "Only events with this text in the action, the actor's or resource's name, the resource's id or the reason.",
    example: 'edge-1',
  }),
};

export const AuditQuery = PageQuery.extend(filters);
export const AuditExportQuery = z.strictObject(filters);
