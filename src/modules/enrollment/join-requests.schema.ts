import { z } from 'zod';
import { ActorRef, Id, Instant, Labels, NodeName, Reason } from '../../common/http/fields.js';
import { PageQuery, pageOf } from '../../common/http/paging.js';
import { RoleNameField } from '../roles/role-assignments.schema.js';
import { JOIN_REQUEST_STATUSES } from './join-request.js';
import { WARNING_CODES } from './join-request-warnings.js';

const Digest = z
  .string()
  .regex(/^[A-Za-z0-9_-]{43}$/, 'Must be SHA-256 in base64url.')
  .meta({ example: '6VgW8zN6D5h9nQx0d4rjvJj5g2b0mJv4T1Zx2nVt9cE' });

export const JoinRequestView = z
  .object({
    id: Id,
    clusterId: Id,
    tokenId: Id.describe('The join token that was used.'),
    nodeName: z.string().meta({ example: 'edge-1' }),
    nodeFingerprint: z
      .string()
      .describe('RFC 7638 thumbprint of the key; compare it with what the host shows.'),
    publicKey: z
      .record(z.string(), z.string())
      .meta({ example: { kty: 'OKP', crv: 'Ed25519', x: '11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo' } }),
    csr: z.string().nullable(),
    reportedCapabilities: z.array(z.string()).meta({ example: ['can_run_vpn_exit'] }),
    reportedFacts: z
      .record(z.string(), z.json())
      .meta({ example: { os: 'linux', arch: 'x64', hostname: 'edge-1' } }),
    requestedRoles: z.array(z.string()).meta({ example: ['vpn-exit'] }),
    agentVersion: z.string().meta({ example: '0.1.0' }),
    status: z.enum(JOIN_REQUEST_STATUSES),
    requestDigest: Digest.describe(
      'Of what the node said; approve with it to approve exactly what was reviewed.',
    ),
    warnings: z
      .array(z.object({ code: z.enum(WARNING_CODES), detail: z.string() }))
      .describe('While it is pending: what a reviewer should look at.')
      .meta({ example: [] }),
    expiresAt: Instant.describe('24 h after the first request.'),
    reviewedBy: ActorRef.nullable(),
    reviewedAt: Instant.nullable(),
    approvedNodeId: Id.nullable(),
    rejectionReason: z.string().nullable().meta({ example: null }),
    createdAt: Instant,
  })
  .meta({ id: 'JoinRequest' });
export type JoinRequestView = z.infer<typeof JoinRequestView>;

export const JoinRequestQuery = PageQuery.extend({
  status: z.enum(JOIN_REQUEST_STATUSES).optional().meta({ description: 'Only requests of this status.' }),
  tokenId: Id.optional().describe('Only requests made with this join token.'),
  q: z.string().min(1).max(100).optional().meta({
    description:
      'Only requests whose node name or hostname contains this text, or whose fingerprint, machine id or node it is.',
  }),
});

export const JoinRequestPage = pageOf(JoinRequestView).meta({ id: 'JoinRequestPage' });

export const ApproveJoinRequest = z
  .strictObject({
    nodeName: NodeName.optional().describe('Another name than the node asked for.'),
    groupId: Id.nullable().optional().describe("Default: the group of the token's scope, else none."),
    labels: Labels.optional(),
    roles: z
      .array(RoleNameField)
      .max(32)
      .refine((roles) => new Set(roles).size === roles.length, 'Name each role once.')
      .optional()
      .describe(
        "Roles to give at once. Default: those of the token's scope that the node asks for and is able to have.",
      ),
    requestDigest: Digest.optional().describe(
      'Approve only if the request is still the one that was reviewed.',
    ),
    existingNodeId: Id.optional().describe(
      'The physical node that asks: it gets one more membership, isolated from its others, or, where its key in this ' +
        'cluster was revoked, the new key of the membership that it has. Needs nodes.join_existing over the whole ' +
        'platform, and either `hostProof` or `override`.',
    ),
    hostProof: z
      .string()
      .min(1)
      .max(8_192)
      .optional()
      .describe(
        'Compact JWS by an identity key that the node has in another cluster over `{ aud, iat, jti, joinRequestId, ' +
          'keyThumbprint }`: the id of this request and the RFC 7638 thumbprint of its key, `iat` at most an hour ago. ' +
          'Accepted once.',
      )
      .meta({ example: 'eyJhbGciOiJFZERTQSJ9.eyJqdGkiOiJ4In0.c2ln' }),
    override: z
      .strictObject({ reason: Reason })
      .optional()
      .describe('Vouch for the node without a proof; recorded as an event of its own.'),
  })
  .superRefine(({ existingNodeId, hostProof, override }, context) => {
    const refuse = (path: string, message: string) =>
      context.addIssue({ code: 'custom', path: [path], message });
    const given = [hostProof, override].filter((each) => each !== undefined).length;
    if (existingNodeId === undefined && given > 0)
      refuse('existingNodeId', 'Name the node that hostProof or override is about.');
    if (existingNodeId !== undefined && given !== 1)
      refuse('hostProof', 'A known node needs either hostProof or override.');
  })
  .meta({ id: 'ApproveJoinRequest' });

export const RejectJoinRequest = z.strictObject({ reason: Reason }).meta({ id: 'RejectJoinRequest' });
