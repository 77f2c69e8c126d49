import { z } from 'zod';
import { FourEyes } from '../access/platform-policy.schema.js';
import { AgentVersionPolicy } from './agent-version-policy.js';

/** Capabilities that a policy denies: shown on nodes, not counted for roles. */
const CapabilityPolicy = z
  .strictObject({
    denied: z
      .array(z.string().regex(/^[a-z][a-z0-9_]{1,62}$/))
      .max(64)
      .optional(),
  })
  .meta({ description: 'Capabilities that are shown but not counted.', example: { denied: [] } });
const Quorum = z.strictObject({
  minimumPercent: z
    .int()
    .min(1)
    .max(100)
    .describe('The share of active nodes that must have reported within the window.')
    .meta({ example: 51 }),
  windowSeconds: z.int().min(10).max(86_400).meta({ example: 300 }),
  role: z
    .string()
    .regex(/^[a-z][a-z0-9-]{0,62}$/)
    .optional()
    .describe('Only nodes with this role count.')
    .meta({ example: 'core-mesh' }),
});
const PartitionDetection = z
  .strictObject({
    enabled: z.boolean().optional().describe('Off by default.'),
    contradiction: z
      .boolean()
      .optional()
      .describe(
        'Whether reports of another authority in this term, or of a later term, count; true by default.',
      ),
    minimumReporters: z
      .int()
      .min(1)
      .max(1_000)
      .optional()
      .describe(
        'How many nodes must report the same contradiction, so that one cannot make it up; 2 by default.',
      ),
    quorum: Quorum.optional(),
  })
  .refine(
    ({ enabled, contradiction, quorum }) =>
      enabled !== true || contradiction !== false || quorum !== undefined,
    { path: ['enabled'], error: 'There is nothing to detect: neither contradictions nor a quorum.' },
  )
  .meta({
    description:
      'When the control plane itself moves the cluster to `partitioned`. It never leads out of it.',
    example: { enabled: true, quorum: { minimumPercent: 51, windowSeconds: 300 } },
  });

const StablePromotion = z
  .strictObject({
    rolloutRequired: z
      .boolean()
      .optional()
      .describe('A rollout of the version must have succeeded in the cluster; true by default.'),
    soakSeconds: z
      .int()
      .min(0)
      .max(7_776_000)
      .optional()
      .describe('How long ago that rollout must have ended; 0 by default, since its waves have soaked too.'),
  })
  .meta({
    description: 'What a version must have shown before `stable` is pointed to it.',
    example: { soakSeconds: 86_400 },
  });

const members = {
  heartbeatSeconds: z.int().min(1).max(3600).describe('How often a node reports.'),
  staleAfterMissed: z.int().min(1).max(1000).describe('Missed heartbeats until a node is `stale`.'),
  offlineAfterMissed: z.int().min(2).max(10_000).describe('Missed heartbeats until a node is `offline`.'),
  tokenMakerMayApprove: z
    .boolean()
    .describe('Whether who made a join token may approve the requests made with it, `autoApprove` included.'),
  rolloutApprovals: z.int().min(0).max(10).describe('Approvals that a rollout needs.'),
  partitionDetection: PartitionDetection,
  snapshotLifetimeSeconds: z
    .int()
    .min(60)
    .max(2_592_000)
    .describe('How long a snapshot is valid; it is issued again at half of it.'),
  degradedGraceSeconds: z
    .int()
    .min(0)
    .max(2_592_000)
    .describe('How long an agent goes on with an expired snapshot.'),
  capabilityPolicy: CapabilityPolicy,
  fourEyes: FourEyes,
  agentVersionPolicy: AgentVersionPolicy,
  stablePromotion: StablePromotion,
};

export const PolicyView = z.object(members).meta({ id: 'ClusterPolicy' });
export type PolicyView = z.infer<typeof PolicyView>;

/** A PUT replaces the whole policy: what is left out goes back to its default. */
export const PutPolicy = z
  .strictObject({
    heartbeatSeconds: members.heartbeatSeconds.default(30),
    staleAfterMissed: members.staleAfterMissed.default(3),
    offlineAfterMissed: members.offlineAfterMissed.default(10),
    tokenMakerMayApprove: members.tokenMakerMayApprove.default(true),
    rolloutApprovals: members.rolloutApprovals.default(0),
    partitionDetection: PartitionDetection.default({}),
    snapshotLifetimeSeconds: members.snapshotLifetimeSeconds.default(86_400),
    degradedGraceSeconds: members.degradedGraceSeconds.default(86_400),
    capabilityPolicy: CapabilityPolicy.default({}),
    fourEyes: FourEyes.default({}),
    agentVersionPolicy: AgentVersionPolicy.default({}),
    stablePromotion: StablePromotion.default({}),
  })
  .refine((policy) => policy.offlineAfterMissed > policy.staleAfterMissed, {
    path: ['offlineAfterMissed'],
    error: 'Must be greater than staleAfterMissed.',
  })
  .meta({ id: 'PutClusterPolicy' });
