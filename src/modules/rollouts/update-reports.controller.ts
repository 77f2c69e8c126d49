import { Body, Controller, Post } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import type { NodePrincipal } from '../../common/auth/principal.js';
import { CurrentActor, CurrentNode, PathId } from '../../common/auth/request-principal.js';
import { Route } from '../../common/http/operation.js';
import type { Actor } from '../../common/request/actor.js';
import { ReportUpdate, UpdateStateView } from './rollouts.schema.js';
import { UpdateReportsService } from './update-reports.service.js';

@ApiTags('Node agents')
@Controller('api/v1/node-agents/me/updates')
export class UpdateReportsController {
  constructor(private readonly reports: UpdateReportsService) {}

  @Post(':assignment/state')
  @Route({
    id: 'reportUpdate',
    summary: 'Say how far an update is',
    description:
      'The sequence grows with each report of an assignment; the same again is answered as before. A node goes out of service (`migrating` or `starting`) only in the phase `granted`, which a report of `staging` may bring at once.',
    access: 'node',
    mutates: false,
    body: ReportUpdate,
    bodyExample: { state: 'staging', attempt: 1, epoch: 1, sequence: 4 },
    response: UpdateStateView,
    problems: ['stale_report', 'invalid_transition'],
  })
  report(
    @CurrentActor() actor: Actor,
    @CurrentNode() node: NodePrincipal,
    @PathId('assignment') id: string,
    @Body() body: ReportUpdate,
  ): Promise<UpdateStateView> {
    return this.reports.report(actor, node, id, body);
  }
}
