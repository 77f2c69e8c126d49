import { z } from 'zod';
import { Id, NodeName } from '../../common/http/fields.js';
import { ARCHITECTURES, OPERATING_SYSTEMS } from '../nodes/host-system.js';
import { PublicJwk } from '../nodes/node-key.js';
import { JOIN_REQUEST_STATUSES } from './join-request.js';

/** Facts beyond those that the contract names. */
const FURTHER_FACTS = 32;

const count = () => z.int().min(0).max(Number.MAX_SAFE_INTEGER);
const text = (max: number) => z.string().min(1).max(max);
const named = {
  os: z.enum(OPERATING_SYSTEMS),
  arch: z.enum(ARCHITECTURES),
  hostname: text(255).meta({ example: 'edge-1' }),
  kernel: text(255).optional().meta({ example: '6.12.0' }),
  cpuCount: count().optional().meta({ example: 4 }),
  memoryBytes: count().optional().meta({ example: 8_589_934_592 }),
  machineId: text(128).optional().meta({ example: '4e4c9d2b3a7f4b0d9a1c2e3f4a5b6c7d' }),
};

/** What a host says of itself: the facts that the contract names, and some of its own. */
export const ReportedFacts = z
  .object(named)
  .catchall(z.union([z.string().max(512), z.number(), z.boolean(), z.null()]))
  .refine(
    (facts) => Object.keys(facts).filter((name) => !(name in named)).length <= FURTHER_FACTS,
    `At most ${FURTHER_FACTS} further facts.`,
  )
  .refine((facts) => Object.keys(facts).every((name) => /^[A-Za-z][A-Za-z0-9_.-]{0,63}$/.test(name)), {
    error: 'A fact is named by 1 to 64 of A-Z a-z 0-9 _ . -, a letter first.',
  })
  .meta({
    id: 'ReportedFacts',
    description: 'Facts of the host: those named here, and up to 32 further scalars.',
  });

/** Agent bodies are not strict: members that this version does not know are ignored and counted. */
export const Enroll = z
  .object({
    token: text(256).describe('The join token.').meta({ example: 'fjt_<id>_<secret>' }),
    nodeName: NodeName,
    publicKey: PublicJwk,
    csr: z
      .string()
      .max(8_192)
      .regex(/^-----BEGIN (NEW )?CERTIFICATE REQUEST-----/, 'Must be a PKCS#10 request in PEM.')
      .optional()
      .describe(
        'PKCS#10 in PEM, over a key of its own, P-256 or Ed25519: once admitted, the node gets a certificate over it with ' +
          'the answer. Only the key is taken from it.',
      ),
    clusterId: Id.optional().describe(
      'The cluster that the host means to join: a token of another one is refused.',
    ),
    facts: ReportedFacts,
    capabilities: z
      .array(z.string().regex(/^[a-z][a-z0-9_]{1,62}$/, 'A capability is snake_case, 2 to 63 characters.'))
      .max(128)
      .describe('What the host can do; none of it is allowed by that.')
      .meta({ example: ['can_run_vpn_exit'] }),
    requestedRoles: z
      .array(z.string().regex(/^[a-z][a-z0-9-]{0,62}$/, 'A role is kebab-case, up to 63 characters.'))
      .max(32)
      .default([])
      .meta({ example: ['vpn-exit'] }),
    agentVersion: text(64).meta({ example: '0.1.0' }),
    proof: text(8_192).describe(
      'Compact JWS by `publicKey` over `{ jti, iat, aud, tokenHash, bodyHash? }`. `tokenHash` is base64url(SHA-256(token)); ' +
        '`bodyHash` is base64url(SHA-256) of the RFC 8785 form of this body as sent, without its member `proof`.',
    ),
  })
  .meta({ id: 'Enroll' });
export type Enroll = z.infer<typeof Enroll>;

const Status = z.enum(JOIN_REQUEST_STATUSES);

export const EnrollAnswer = z
  .object({
    joinRequestId: Id,
    clusterId: Id,
    status: Status,
    pollAfterSeconds: z.int().describe('When to ask next.').meta({ example: 5 }),
  })
  .meta({ id: 'EnrollAnswer' });
export type EnrollAnswer = z.infer<typeof EnrollAnswer>;

export const JoinRequestState = z
  .object({
    status: Status,
    clusterId: Id,
    nodeId: Id.optional().describe('Once it is approved.'),
    jwks: z
      .object({ keys: z.array(z.record(z.string(), z.json())) })
      .optional()
      .describe(
        'Once it is approved: the keys by which the snapshots of the cluster are signed, as a JWK set.',
      ),
    certificate: z
      .string()
      .optional()
      .describe(
        'Once it is approved, where the host sent a `csr`: PEM, the same each time, until it expires.',
      ),
    certificateChain: z
      .string()
      .optional()
      .describe('With the certificate: what stands between it and the root.'),
    trustBundle: z.string().optional().describe('Once it is approved: the roots of the cluster, in PEM.'),
    rejectionReason: z.string().optional().describe('When it was rejected.'),
  })
  .meta({ id: 'JoinRequestState' });
export type JoinRequestState = z.infer<typeof JoinRequestState>;
