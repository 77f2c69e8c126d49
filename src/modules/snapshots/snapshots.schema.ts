import { z } from 'zod';
import { Id, Instant, InstantInput } from '../../common/http/fields.js';
import { PageQuery, pageOf } from '../../common/http/paging.js';
import { SnapshotWorkload } from '../workloads/workloads.schema.js';
import { SNAPSHOT_SCHEMA } from './snapshot-content.js';
import {
  SnapshotCacheItem,
  SnapshotIngressSection,
  SnapshotKeyItem,
  SnapshotMirrorSection,
  SnapshotPeerItem,
  SnapshotRoleItem,
  SnapshotServiceItem,
  SnapshotStorageSection,
  SnapshotUpdateItem,
  SnapshotVpnAssignmentItem,
} from './snapshot-items.schema.js';

const Policy = z.record(z.string(), z.json()).meta({ example: {} });

/** A snapshot's payload, schema `rap.cluster_snapshot.v1`. */
export const SnapshotPayloadView = z
  .object({
    schema: z.literal(SNAPSHOT_SCHEMA),
    clusterId: Id,
    nodeId: Id,
    generation: z.int().describe('Grows with each change of the content.').meta({ example: 3 }),
    authorityTerm: z.int().describe('Agents refuse what is of an older term.').meta({ example: 1 }),
    issuedAt: Instant,
    expiresAt: Instant,
    degradedGraceSeconds: z
      .int()
      .describe('How long the agent goes on after `expiresAt` without the service.')
      .meta({ example: 86_400 }),
    trust: z
      .object({ snapshotKeys: z.array(SnapshotKeyItem) })
      .describe(
        'The keys that may sign the snapshots of this cluster, this one and the next; no other is accepted.',
      ),
    membership: z.object({
      status: z.enum(['active', 'disabled']),
      name: z.string().meta({ example: 'edge-1' }),
    }),
    roles: z.array(SnapshotRoleItem),
    workloads: z.array(SnapshotWorkload).describe('Of service types that the roles cover.'),
    vpnAssignments: z.array(SnapshotVpnAssignmentItem).describe('For roles that hold connections.'),
    peers: z.array(SnapshotPeerItem).describe('For roles of the mesh.'),
    routePolicy: Policy.describe('For roles of the mesh.'),
    qosPolicy: Policy.describe('For roles of the mesh.'),
    updates: z.array(SnapshotUpdateItem),
    services: z.array(SnapshotServiceItem).optional().describe('Present for roles that run services.'),
    ingress: SnapshotIngressSection.optional().describe('Present for roles that clients enter by.'),
    storage: SnapshotStorageSection.optional().describe('Present for roles that store.'),
    mirror: SnapshotMirrorSection.optional().describe('Present for the role `update-cache`.'),
    updateCaches: z
      .array(SnapshotCacheItem)
      .optional()
      .describe(
        'Present while there are updates: caches near the node, the nearest first, three at most. Whatever they send, the digest of the update decides.',
      ),
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

const Instants = {
  servedAt: Instant.describe('When the node was first given it.'),
  issuedAt: Instant.describe('As it was first given; issued again later it is the same generation.'),
  expiresAt: Instant,
};

/** A change of one member or item, RFC 6902. */
const PatchOperation = z.object({
  op: z.enum(['add', 'remove', 'replace']),
  path: z.string().meta({ example: '/roles/0' }),
  value: z.json().optional(),
});

export const KeptGenerationView = z
  .object({
    generation: z.int().meta({ example: 3 }),
    authorityTerm: z.int().meta({ example: 1 }),
    ...Instants,
    previousGeneration: z
      .int()
      .nullable()
      .describe('The kept one before it; null for the oldest that is kept.')
      .meta({ example: 2 }),
    patch: z
      .array(PatchOperation)
      .nullable()
      .describe(
        'How its content differs from that of `previousGeneration`, RFC 6902; null where there is none.',
      ),
    patchTruncated: z.boolean().describe('There are more operations than are shown.'),
  })
  .meta({ id: 'KeptGeneration' });
export type KeptGenerationView = z.infer<typeof KeptGenerationView>;

export const KeptGenerationPage = pageOf(KeptGenerationView).meta({ id: 'KeptGenerationPage' });

export const KeptGenerationsQuery = PageQuery.extend({
  from: InstantInput.optional().describe('Only those first served at or after this instant.'),
  to: InstantInput.optional().describe('Only those first served before this instant.'),
});

export const NodeSnapshotQuery = z.strictObject({
  generation: z
    .string()
    .regex(/^\d{1,15}$/, 'Must be a whole number.')
    .transform(Number)
    .optional()
    .meta({
      description: 'The generation of this number, as the node was first given it.',
      jsonSchema: { type: 'integer', minimum: 0 },
      example: 3,
    }),
  at: InstantInput.optional().describe(
    'What the node had last been given at this instant; not with `generation`.',
  ),
});

const ExplainedItemView = z.object({
  pointer: z.string().describe("JSON pointer into the snapshot's payload.").meta({ example: '/roles/0' }),
  auditEventId: Id.nullable().describe('The event that made it what it is; null where the log knows none.'),
  actor: z
    .object({
      type: z.string().meta({ example: 'api_token' }),
      id: z.string().nullable(),
      displayName: z.string().nullable().meta({ example: 'deploy' }),
    })
    .nullable(),
  at: Instant.nullable(),
  summary: z.string().nullable().meta({ example: 'role assignment vpn-exit created' }),
});
export type ExplainedItem = z.infer<typeof ExplainedItemView>;

export const SnapshotExplanation = z
  .object({
    generation: z.int().describe('Of the snapshot that is explained.').meta({ example: 3 }),
    items: z.array(ExplainedItemView),
  })
  .meta({ id: 'SnapshotExplanation' });
export type SnapshotExplanation = z.infer<typeof SnapshotExplanation>;

/** Longest that a poll is held; below the idle timeout of common proxies. */
/** Shorter than what proxies allow a request to take. */
export const MAX_WAIT_SECONDS = 55;

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
