import { z } from 'zod';
import { ActorRef, Id, Instant, Reason } from '../../common/http/fields.js';

export const AcknowledgeRiskyState = z
  .strictObject({
    reason: Reason.meta({ example: 'The host was restored from a copy, and the copy is gone.' }),
  })
  .meta({ id: 'AcknowledgeRiskyState' });

export const NodeRiskyStateView = z
  .object({
    clusterId: Id,
    nodeId: Id,
    kind: z.string().meta({ example: 'clone_suspected' }),
    since: Instant,
    acknowledgedAt: Instant.nullable(),
    acknowledgedBy: ActorRef.nullable(),
  })
  .meta({ id: 'NodeRiskyState' });
export type NodeRiskyStateView = z.infer<typeof NodeRiskyStateView>;
