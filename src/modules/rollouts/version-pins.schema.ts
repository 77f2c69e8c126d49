import { z } from 'zod';
import { ActorRef, Id, Instant, KeptInstantInput, Reason } from '../../common/http/fields.js';

export const PutVersionPin = z
  .strictObject({
    version: z.string().min(1).max(128).meta({ example: '1.0.0' }),
    reason: Reason,
    expiresAt: KeptInstantInput.optional().describe(
      'At this instant it holds no more; absent: until it is removed.',
    ),
  })
  .meta({ id: 'PutVersionPin' });

export const VersionPinView = z
  .object({
    nodeId: Id,
    product: z.string().meta({ example: 'rap-node-agent' }),
    version: z.string().meta({ example: '1.0.0' }),
    reason: z.string().meta({ example: 'A driver needs it.' }),
    expiresAt: Instant.nullable(),
    inForce: z.boolean(),
    createdBy: ActorRef,
    createdAt: Instant,
  })
  .meta({ id: 'VersionPin' });
export type VersionPinView = z.infer<typeof VersionPinView>;

export const VersionExplanation = z
  .object({
    nodeId: Id,
    product: z.string().meta({ example: 'rap-node-agent' }),
    installed: z.string().nullable().describe('What it reports to run.').meta({ example: '1.0.0' }),
    lastKnownGood: z.string().nullable().meta({ example: '1.0.0' }),
    desired: z
      .object({
        version: z.string().nullable().describe('Null: it stays as it is.').meta({ example: '2.0.0' }),
        rule: z
          .enum(['fenced', 'emergency_pin', 'node_pin', 'rollback', 'granted', 'joiner', 'channel', 'none'])
          .describe('The first rule that names a version decides.'),
        ruleNumber: z.int().nullable().meta({ example: 5 }),
        reason: z
          .string()
          .describe('Why that is the version, or why it is refused.')
          .meta({ example: 'chosen' }),
        wanted: z.string().nullable().describe('What the rule asked for.').meta({ example: '2.0.0' }),
      })
      .describe('What it is to run, and why.'),
    emergencyPin: z
      .object({ id: Id, reason: z.string().meta({ example: '2.0.0 drops sessions.' }), expiresAt: Instant })
      .nullable()
      .describe('The emergency pin that decides about the node now.'),
    rollout: z
      .object({
        rolloutId: Id,
        kind: z
          .enum(['staged', 'pin', 'emergency'])
          .describe('`pin`, `emergency`: it leads the node to where it is pinned.'),
        state: z.string().meta({ example: 'running' }),
        stateReason: z.string().nullable().meta({ example: null }),
        wave: z.string().nullable().meta({ example: 'canary' }),
        waveState: z.string().nullable().meta({ example: 'active' }),
        assignmentState: z.string().meta({ example: 'offered' }),
        assignmentReason: z.string().nullable().meta({ example: null }),
        phase: z.enum(['offered', 'granted']).nullable(),
        updateState: z
          .string()
          .describe('What the node reports of its update.')
          .meta({ example: 'downloading' }),
        retriesLeft: z.int().describe('How often it may fail to prepare and try again.'),
      })
      .nullable()
      .describe('The last rollout of the product that has the node.'),
    notUpdatingBecause: z.array(z.string()).meta({ example: ['The node has not staged the version yet.'] }),
    wouldChangeWith: z.array(z.string()).meta({ example: ['The node stages the version.'] }),
  })
  .meta({ id: 'VersionExplanation' });
export type VersionExplanation = z.infer<typeof VersionExplanation>;
