import { z } from 'zod';
import { Instant } from '../../common/http/fields.js';
import { WorkloadReports } from './workload-report.schema.js';

const count = () => z.int().min(0).max(Number.MAX_SAFE_INTEGER);
const load = () => z.number().min(0).max(1e6);

const Holder = z.string().min(1).max(128).meta({ example: 'control-plane' });

/** What a node knows first-hand of a peer. */
const PeerSeen = z
  .object({
    nodeId: z.uuid(),
    reachable: z
      .boolean()
      .optional()
      .describe(
        'Whether it answered the last time; what is said of one that did not is not counted. True by default.',
      ),
    authorityTerm: count().optional().describe('The term that the peer follows.').meta({ example: 1 }),
    authorityHolder: Holder.optional().describe('Who holds the authority that the peer follows.'),
  })
  .meta({ id: 'PeerSeen' });

/** What an agent says of itself. Members that this version does not know are ignored and counted. */
export const Heartbeat = z
  .object({
    agentVersion: z.string().min(1).max(64).meta({ example: '0.1.0' }),
    sequence: count().describe('Grows within one agentInstanceId.').meta({ example: 17 }),
    agentInstanceId: z.uuid().optional().describe('Made anew at each start of the agent.'),
    uptimeSeconds: z.number().min(0).max(1e11).optional().meta({ example: 3600 }),
    load: z
      .object({ one: load(), five: load(), fifteen: load() })
      .optional()
      .meta({ example: { one: 0.4, five: 0.3, fifteen: 0.2 } }),
    memory: z
      .object({ totalBytes: count(), usedBytes: count() })
      .optional()
      .meta({ example: { totalBytes: 8_589_934_592, usedBytes: 2_147_483_648 } }),
    appliedGeneration: count().optional().meta({ example: 3 }),
    authorityTermSeen: count()
      .optional()
      .describe('The latest term that the node has seen, in whatever way.')
      .meta({ example: 1 }),
    authorityHolderSeen: Holder.optional().describe(
      'Who held that term, as the last answer to a heartbeat named it.',
    ),
    peersSeen: z
      .array(PeerSeen)
      .max(64)
      .optional()
      .describe(
        'The peers that the node knows something of, at most 64. Nodes that are no members are ignored.',
      ),
    revocationEpochApplied: count().optional(),
    trustBundleSeen: z
      .string()
      .max(128)
      .optional()
      .describe('SHA-256 of the trust bundle that the node holds, in hexadecimal or base64url.')
      .meta({ example: '0f4d1cf5ec3a4f5bcb33fbbd2bc2cbd1b5c62f3cc4a9bd2a1de0e2a2be8c8f31' }),
    workloads: WorkloadReports.optional(),
  })
  .meta({ id: 'Heartbeat' });
export type Heartbeat = z.infer<typeof Heartbeat>;

export const HeartbeatAnswer = z
  .object({
    serverTime: Instant,
    nextHeartbeatSeconds: z
      .int()
      .describe("Until this node's turn: about the interval of the policy, each node at another time of it.")
      .meta({ example: 30 }),
    snapshotGeneration: z.int().meta({ example: 3 }),
    authorityTerm: z.int().meta({ example: 1 }),
    authorityHolder: z
      .string()
      .describe('Who holds the authority; two that hold the same term show that the cluster is cut in two.')
      .meta({ example: 'control-plane' }),
    revocationEpoch: z.int().meta({ example: 0 }),
    trustBundle: z
      .string()
      .nullable()
      .describe('SHA-256 of the trust bundle in hexadecimal; a node that holds another fetches it.')
      .meta({ example: '0f4d1cf5ec3a4f5bcb33fbbd2bc2cbd1b5c62f3cc4a9bd2a1de0e2a2be8c8f31' }),
  })
  .meta({ id: 'HeartbeatAnswer' });
export type HeartbeatAnswer = z.infer<typeof HeartbeatAnswer>;

export const ReportCapabilities = z
  .object({
    capabilities: z
      .array(z.string().regex(/^[a-z][a-z0-9_]{1,62}$/))
      .max(128)
      .meta({ example: ['can_run_vpn_exit'] }),
    facts: z
      .record(z.string().min(1).max(64), z.union([z.string().max(512), z.number(), z.boolean(), z.null()]))
      .refine((facts) => Object.keys(facts).length <= 40, 'At most 40 facts.')
      .meta({ example: { os: 'linux', arch: 'x64', hostname: 'edge-1' } }),
  })
  .meta({ id: 'ReportCapabilities' });

export const ReportedCapabilities = z
  .object({
    capabilities: z.array(z.string()).meta({ example: ['can_run_vpn_exit'] }),
    facts: z.record(z.string(), z.json()).meta({ example: { os: 'linux', arch: 'x64', hostname: 'edge-1' } }),
  })
  .describe('What holds now.')
  .meta({ id: 'ReportedCapabilities' });
export type ReportedCapabilities = z.infer<typeof ReportedCapabilities>;
