import { Controller, Get } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import { ClusterId } from '../../common/auth/request-principal.js';
import { Route } from '../../common/http/operation.js';
import type { Page } from '../../common/http/paging.js';
import { ClusterSummary, type RiskyState, RiskyStatePage } from './overview.schema.js';
import { OverviewService } from './overview.service.js';

@ApiTags('Overview')
@Controller('api/v1/clusters/:cluster')
export class OverviewController {
  constructor(private readonly overview: OverviewService) {}

  @Get('summary')
  @Route({
    id: 'getClusterSummary',
    summary: 'Read a cluster at a glance',
    access: { permission: 'clusters.read' },
    response: ClusterSummary,
  })
  summary(@ClusterId() clusterId: string): Promise<ClusterSummary> {
    return this.overview.summary(clusterId);
  }

  @Get('risky-states')
  @Route({
    id: 'listRiskyStates',
    summary: 'List what works now and should not be left so',
    access: { permission: 'clusters.read' },
    response: RiskyStatePage,
  })
  riskyStates(@ClusterId() clusterId: string): Promise<Page<RiskyState>> {
    return this.overview.riskyStates(clusterId);
  }
}
