import { Controller, Get } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import type { z } from 'zod';
import { ClusterId, PathId, ValidQuery } from '../../common/auth/request-principal.js';
import { contentEtag } from '../../common/http/etag.js';
import { Route } from '../../common/http/operation.js';
import type { Page } from '../../common/http/paging.js';
import { PathServiceType } from './path-service-type.js';
import { WorkloadHistoryService } from './workload-history.service.js';
import {
  WorkloadLogView,
  WorkloadTransitionPage,
  WorkloadTransitionQuery,
  type WorkloadTransitionView,
} from './workload-reports.schema.js';

@ApiTags('Workloads')
@Controller('api/v1/clusters/:cluster/nodes/:node/workloads/:serviceType')
export class WorkloadHistoryController {
  constructor(private readonly workloads: WorkloadHistoryService) {}

  @Get('history')
  @Route({
    id: 'listWorkloadHistory',
    summary: 'List how the reports of a workload changed, newest first',
    description: 'Kept for 30 days, and at most the newest 500. Also of a workload that is gone.',
    access: { permission: 'workloads.read' },
    query: WorkloadTransitionQuery,
    response: WorkloadTransitionPage,
  })
  history(
    @ClusterId() clusterId: string,
    @PathId('node') nodeId: string,
    @PathServiceType() serviceType: string,
    @ValidQuery() query: z.infer<typeof WorkloadTransitionQuery>,
  ): Promise<Page<WorkloadTransitionView>> {
    return this.workloads.history({ clusterId, nodeId, serviceType }, query);
  }

  @Get('logs')
  @Route({
    id: 'getWorkloadLogs',
    summary: 'Read what a workload wrote last, as its agent reported it',
    access: { permission: 'workloads.read_logs' },
    response: WorkloadLogView,
    etag: contentEtag,
  })
  logs(
    @ClusterId() clusterId: string,
    @PathId('node') nodeId: string,
    @PathServiceType() serviceType: string,
  ): Promise<WorkloadLogView> {
    return this.workloads.logs({ clusterId, nodeId, serviceType });
  }
}
