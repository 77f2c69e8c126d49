import { z } from 'zod';
import { Id, Instant } from '../../common/http/fields.js';

/**
 * The items of a snapshot, by what they are about. Agents read them and ignore members that they do not know, so that
 * a member may be added; one that is here never changes its meaning.
 */

const ServiceType = z.string().meta({ example: 'vpn-exit' });
const Reference = z.string().meta({ example: 'vault:fabric/vpn-exit/key' });

export const SnapshotRoleItem = z.object({
  role: z.string().meta({ example: 'vpn-exit' }),
  organizationId: Id.nullable().describe('Null: for the whole cluster.'),
  policy: z.record(z.string(), z.json()).describe("By the role's schema.").meta({ example: {} }),
  validFrom: Instant.nullable().describe(
    'Agents apply both bounds at their instant; the range is half-open.',
  ),
  validUntil: Instant.nullable(),
});

/** A connection that the node may hold; who holds it is told by its lease, never by a snapshot. */
export const SnapshotVpnAssignmentItem = z.object({
  connectionId: Id,
  name: z.string().meta({ example: 'office' }),
  kind: z.enum(['exit', 'connector']),
  desiredState: z.enum(['enabled', 'disabled']),
  hasCredentialRef: z.boolean(),
  leaseTtlSeconds: z.int().meta({ example: 30 }),
  routePolicies: z.array(
    z.object({
      cidr: z.string().meta({ example: '10.0.0.0/8' }),
      action: z.enum(['allow', 'deny']),
      priority: z.int(),
    }),
  ),
});

/** Another node that a node of the mesh may connect to. */
export const SnapshotPeerItem = z.object({
  nodeId: Id,
  roles: z.array(z.string()),
  endpoints: z.array(z.object({ host: z.string(), port: z.int(), protocol: z.string() })),
});

/** A release that the node is to move to. */
export const SnapshotUpdateItem = z.object({
  assignmentId: Id,
  product: z.string().meta({ example: 'rap-node-agent' }),
  fromVersion: z.string().nullable(),
  toVersion: z.string().meta({ example: '0.2.0' }),
  epoch: z.int(),
  phase: z
    .enum(['offered', 'granted'])
    .describe('`offered`: may download, verify, stage. `granted`: may disrupt.'),
  artifact: z.object({
    os: z.string().meta({ example: 'linux' }),
    arch: z.string().meta({ example: 'x64' }),
    sha256: z.string(),
    size: z.int(),
    path: z.string(),
  }),
  manifest: z.json().describe('The signed manifest: a DSSE envelope.'),
});

/** What a service of the node needs beside its workload. */
export const SnapshotServiceItem = z.object({
  serviceType: ServiceType,
  resourceRefs: z.array(Reference).describe('Resources that it serves.').meta({ example: [] }),
  connectorRefs: z.array(Reference).describe('Connectors by which it reaches them.').meta({ example: [] }),
});

export const SnapshotIngressSection = z.object({
  entryPolicies: z.array(z.json()).describe('Which clients may enter, and how.').meta({ example: [] }),
  tokenValidation: z
    .object({ issuer: z.string(), audience: z.string(), jwksUrl: z.string() })
    .nullable()
    .describe('How tokens of clients are checked; null: none are taken.'),
  routeEntries: z.array(z.json()).describe('Where they are led.').meta({ example: [] }),
});

export const SnapshotStorageSection = z.object({
  scopes: z.array(z.json()).describe('Shards and scopes that the node keeps.').meta({ example: [] }),
  replication: z
    .object({ factor: z.int(), failureDomain: z.string().nullable() })
    .nullable()
    .describe('Null: nothing is replicated.'),
});

/** A file of a release that a cache is to keep for other nodes. */
export const SnapshotMirrorSection = z.object({
  files: z
    .array(
      z.object({
        product: z.string().meta({ example: 'rap-node-agent' }),
        version: z.string().meta({ example: '0.2.0' }),
        sha256: z.string(),
        size: z.int(),
        path: z.string(),
      }),
    )
    .describe('What is needed soonest comes first. What is not here is not served, and not kept.'),
});

/** A node near this one that has files of releases. */
export const SnapshotCacheItem = z.object({
  nodeId: Id,
  url: z
    .string()
    .describe('It answers `GET {url}/artifacts/{sha256}`.')
    .meta({ example: 'https://192.0.2.7:7443' }),
  spiffeId: z.string().describe('Whom its certificate must name.'),
});

/** A key that signs the snapshots of the cluster, or will. */
export const SnapshotKeyItem = z.object({
  kty: z.literal('OKP'),
  crv: z.literal('Ed25519'),
  x: z.string().meta({ example: '11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo' }),
  kid: z.string().meta({ example: 'NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs' }),
  alg: z.literal('EdDSA'),
  use: z.literal('sig'),
});

export type SnapshotRole = z.infer<typeof SnapshotRoleItem>;
export type SnapshotVpnAssignment = z.infer<typeof SnapshotVpnAssignmentItem>;
export type SnapshotPeer = z.infer<typeof SnapshotPeerItem>;
export type SnapshotUpdate = z.infer<typeof SnapshotUpdateItem>;
export type SnapshotService = z.infer<typeof SnapshotServiceItem>;
export type SnapshotIngress = z.infer<typeof SnapshotIngressSection>;
export type SnapshotStorage = z.infer<typeof SnapshotStorageSection>;
export type SnapshotMirror = z.infer<typeof SnapshotMirrorSection>;
export type SnapshotCache = z.infer<typeof SnapshotCacheItem>;
export type SnapshotKeyJwk = z.infer<typeof SnapshotKeyItem>;
