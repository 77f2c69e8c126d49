import { Body, Controller, Param, Post } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import type { z } from 'zod';
import { ClusterId, CurrentActor, PathId } from '../../common/auth/request-principal.js';
import { Route } from '../../common/http/operation.js';
import type { Actor } from '../../common/request/actor.js';
import { AcknowledgeRiskyState, NodeRiskyStateView } from './risky-states.schema.js';
import { RiskyStatesService } from './risky-states.service.js';

@ApiTags('Nodes')
@Controller('api/v1/clusters/:cluster/nodes/:node/risky-states')
export class RiskyStatesController {
  constructor(private readonly states: RiskyStatesService) {}

  @Post(':kind/acknowledge')
  @Route({
    id: 'acknowledgeRiskyState',
    summary: 'Say that a risky state of a node has been looked at',
    description:
      'Ends it until it shows again. States that follow from other facts, such as an expired certificate, end with those and are 404 here.',
    access: { permission: 'risky_states.acknowledge' },
    body: AcknowledgeRiskyState,
    bodyExample: { reason: 'The host was restored from a copy, and the copy is gone.' },
    response: NodeRiskyStateView,
    problems: ['cluster_archived'],
  })
  acknowledge(
    @CurrentActor() actor: Actor,
    @ClusterId() clusterId: string,
    @PathId('node') nodeId: string,
    @Param('kind') kind: string,
    @Body() body: z.infer<typeof AcknowledgeRiskyState>,
  ): Promise<NodeRiskyStateView> {
    return this.states.acknowledge(actor, clusterId, nodeId, kind, body.reason);
  }
}
