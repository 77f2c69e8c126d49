import { z } from 'zod';
import { ActorRef, Id, Instant, Reason } from '../../common/http/fields.js';
import { PageQuery, pageOf } from '../../common/http/paging.js';
import { ROTATION_KINDS, ROTATION_PHASES } from './rotation.js';

const Kind = z
  .enum(ROTATION_KINDS)
  .describe('`ca`: the certificate authority; `snapshot_key`: the key by which snapshots are signed.');
const Phase = z
  .enum(ROTATION_PHASES)
  .describe(
    '`prepare`: the new key is published, the old one signs. `activate`: the new one signs, the old one is trusted. ' +
      '`taint`: what the old one signed is to be replaced now. `retire`: the old one is not trusted; finished.',
  );
const Kid = z.string().meta({ example: 'NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs' });

export const StartRotation = z.strictObject({ kind: Kind }).meta({ id: 'StartRotation' });

export const AdvanceRotation = z
  .strictObject({
    to: Phase.optional().describe(
      'The phase that is wanted: a repeat of a call whose answer was lost changes nothing then.',
    ),
    override: z
      .strictObject({ reason: Reason })
      .optional()
      .describe('Go on although live nodes lack what is new.')
      .meta({ example: { reason: 'The old root is compromised.' } }),
  })
  .meta({ id: 'AdvanceRotation' });

export const RotationView = z
  .object({
    id: Id,
    clusterId: Id,
    kind: Kind,
    phase: Phase,
    nextPhase: Phase.nullable().describe('Null when it is finished.'),
    oldKid: Kid,
    newKid: Kid,
    startedBy: ActorRef,
    preparedAt: Instant,
    activatedAt: Instant.nullable(),
    taintedAt: Instant.nullable(),
    retiredAt: Instant.nullable(),
    overrideReason: z
      .string()
      .nullable()
      .describe('Why the old key was retired over nodes that lacked the new one.')
      .meta({ example: null }),
    liveNodes: z.int().describe('Members that are not offline.').meta({ example: 12 }),
    acknowledgedCount: z
      .int()
      .describe(
        'Of them, those that hold what the cluster publishes now: the bundle, or a snapshot that announces its key.',
      )
      .meta({ example: 11 }),
    waitingCount: z.int().meta({ example: 1 }),
    waiting: z
      .array(
        z.object({
          nodeId: Id,
          name: z.string().meta({ example: 'edge-1' }),
          lastSeenAt: Instant.nullable(),
        }),
      )
      .describe('Live nodes that do not hold it: the first 100 by node id.'),
  })
  .meta({ id: 'TrustRotation' });
export type RotationView = z.infer<typeof RotationView>;

export const RotationPage = pageOf(RotationView).meta({ id: 'TrustRotationPage' });
export const RotationQuery = PageQuery;
