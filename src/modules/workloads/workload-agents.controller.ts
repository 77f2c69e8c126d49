import { Body, Controller, Put } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import type { NodePrincipal } from '../../common/auth/principal.js';
import { CurrentActor, CurrentNode } from '../../common/auth/request-principal.js';
import { Route } from '../../common/http/operation.js';
import type { Actor } from '../../common/request/actor.js';
import { PathServiceType } from './path-service-type.js';
import { ReportWorkload, WorkloadStatusView } from './workload-reports.schema.js';
import { WorkloadReportsService } from './workload-reports.service.js';

@ApiTags('Node agents')
@Controller('api/v1/node-agents/me/workloads')
export class WorkloadAgentsController {
  constructor(private readonly reports: WorkloadReportsService) {}

  @Put(':serviceType/status')
  @Route({
    id: 'reportWorkload',
    summary: 'Say how a workload is, without waiting for the next heartbeat',
    description:
      'Reports of one workload are to be sent one after the other. One of an instance that another has taken the place of is refused as stale.',
    access: 'node',
    mutates: false,
    body: ReportWorkload,
    bodyExample: {
      instanceId: '5f0c1d9e-6a2b-4c7e-9a43-6f6f8f0f9d11',
      reportedState: 'running',
      version: '1.4.2',
      health: 'healthy',
    },
    response: WorkloadStatusView,
    problems: ['stale_report', 'too_many_workloads'],
  })
  report(
    @CurrentActor() actor: Actor,
    @CurrentNode() node: NodePrincipal,
    @PathServiceType() serviceType: string,
    @Body() body: ReportWorkload,
  ): Promise<WorkloadStatusView> {
    return this.reports.report(actor, { ...node, serviceType }, body);
  }
}
