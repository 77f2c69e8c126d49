import { z } from 'zod';
import { Id, Instant } from '../../common/http/fields.js';
import { PageQuery, pageOf } from '../../common/http/paging.js';
import { PublicJwk } from './node-key.js';
import { NodeView } from './nodes.schema.js';

export const NodeIdentityView = z
  .object({
    nodeId: Id,
    clusterId: Id,
    membershipStatus: NodeView.shape.membershipStatus,
    keys: z
      .array(
        z.object({
          id: Id,
          thumbprint: z
            .string()
            .describe('RFC 7638, SHA-256 in base64url.')
            .meta({ example: 'kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k' }),
          publicKey: PublicJwk,
          status: z
            .enum(['active', 'rotated', 'revoked'])
            .describe('`rotated`: replaced by a newer key; works on until `validUntil`.'),
          createdAt: Instant,
          rotatedAt: Instant.nullable().meta({ example: null }),
          rotatedFrom: Id.nullable()
            .describe('The identity that it took the place of.')
            .meta({ example: null }),
          validUntil: Instant.nullable().meta({ example: null }),
          revokedAt: Instant.nullable().meta({ example: null }),
          certificate: z
            .object({
              serial: z.string().meta({ example: '5F0C5E1E8B0B4C1E9F0E7B8B4A1D2C3E' }),
              notBefore: Instant,
              notAfter: Instant,
              status: z
                .enum(['active', 'expired', 'revoked'])
                .describe(
                  '`revoked`: ended before its time, with the membership or with the key that asked for it.',
                ),
            })
            .nullable()
            .describe('The certificate that was last issued while this was the key of the node.'),
        }),
      )
      .describe('Newest first.'),
  })
  .meta({ id: 'NodeIdentity' });
export type NodeIdentityView = z.infer<typeof NodeIdentityView>;

const TimelineEntry = z
  .object({
    id: Id.describe('Id of the audit event.'),
    occurredAt: Instant,
    action: z.string().meta({ example: 'node.health_changed' }),
    actor: z.object({
      type: z.string().meta({ example: 'system' }),
      id: z.string().nullable().meta({ example: 'health-watch' }),
      displayName: z.string().nullable().meta({ example: 'health-watch' }),
    }),
    resource: z.object({
      type: z.string().meta({ example: 'node' }),
      id: z.string().nullable().meta({ example: '019ab0c4-7e11-7a52-8d3f-5a0d7f0f3c21' }),
      name: z.string().nullable().meta({ example: 'edge-1' }),
    }),
    outcome: z.enum(['success', 'denied', 'failed']),
    reason: z.string().nullable().meta({ example: null }),
    before: z.json().meta({ example: { health: 'online' } }),
    after: z.json().meta({ example: { health: 'offline' } }),
  })
  .meta({ id: 'NodeTimelineEntry' });
export type TimelineEntry = z.infer<typeof TimelineEntry>;

export const NodeTimelinePage = pageOf(TimelineEntry).meta({ id: 'NodeTimelinePage' });

export const NodeTimelineQuery = PageQuery;
