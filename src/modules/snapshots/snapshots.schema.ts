import { z } from 'zod';
import { Id, Instant } from '../../common/http/fields.js';

/** A snapshot's payload, schema `rap.cluster_snapshot.v1`. */
export const SnapshotPayloadView = z
  .object({
    schema: z.literal('rap.cluster_snapshot.v1'),
    clusterId: Id,
    nodeId: Id,
    generation: z.int().meta({ example: 3 }),
    authorityTerm: z.int().meta({ example: 1 }),
    issuedAt: Instant,
    expiresAt: Instant,
    degradedGraceSeconds: z
      .int()
      .describe('How long the agent goes on after `expiresAt` without the service.')
      .meta({ example: 86_400 }),
    membership: z.object({
      status: z.enum(['active', 'disabled']),
      name: z.string().meta({ example: 'edge-1' }),
    }),
    roles: z.array(
      z.object({
        role: z.string().meta({ example: 'vpn-exit' }),
        organizationId: Id.nullable(),
        policy: z.record(z.string(), z.json()),
        validFrom: Instant.nullable(),
        validUntil: Instant.nullable(),
      }),
    ),
    workloads: z.array(z.json()),
    vpnAssignments: z.array(z.json()),
    peers: z.array(z.json()),
    routePolicy: z.record(z.string(), z.json()),
    qosPolicy: z.record(z.string(), z.json()),
    updates: z.array(z.json()),
    services: z.array(z.object({ serviceType: z.string().meta({ example: 'vpn-exit' }) })).optional(),
    ingress: z.object({ entryPolicies: z.array(z.json()) }).optional(),
    storage: z.object({ scopes: z.array(z.json()) }).optional(),
    telemetry: z.object({ enabled: z.boolean() }),
  })
  .meta({ id: 'SnapshotPayload' });

export const SignedSnapshotView = z
  .object({
    jws: z
      .string()
      .describe('Compact JWS over the payload: `EdDSA`, `typ` `rap-snapshot+jws`.')
      .meta({ example: 'eyJhbGciOiJFZERTQSJ9.e30.c2ln' }),
    generation: z.int().meta({ example: 3 }),
  })
  .meta({ id: 'SignedSnapshot' });

/** Longest that a poll is held; below the idle timeout of common proxies. */
const MAX_WAIT_SECONDS = 55;

export const SnapshotQuery = z.strictObject({
  waitSeconds: z
    .string()
    .regex(/^\d{1,2}$/, 'Must be a number from 0 to 55.')
    .optional()
    .transform((text) => (text === undefined ? 0 : Number(text)))
    .refine((seconds) => seconds <= MAX_WAIT_SECONDS, 'Must be a number from 0 to 55.')
    .meta({
      description: 'With a matching `If-None-Match`: how many seconds to wait for a change.',
      jsonSchema: { type: 'integer', minimum: 0, maximum: MAX_WAIT_SECONDS, default: 0 },
      example: MAX_WAIT_SECONDS,
    }),
});
