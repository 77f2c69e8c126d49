import { Controller, Get } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import type { z } from 'zod';
import { ClusterId, ValidQuery } from '../../common/auth/request-principal.js';
import { Route } from '../../common/http/operation.js';
import type { Page } from '../../common/http/paging.js';
import { ClusterQuery } from '../clusters/clusters.schema.js';
import {
  type ClusterOverview,
  ClusterSummary,
  OverviewPage,
  type RiskyState,
  RiskyStatePage,
  RiskyStateQuery,
} from './overview.schema.js';
import { OverviewService } from './overview.service.js';

@ApiTags('Overview')
@Controller('api/v1')
export class OverviewController {
  constructor(private readonly overview: OverviewService) {}

  @Get('overview')
  @Route({
    id: 'getOverview',
    summary: 'List how all clusters fare, newest first',
    access: { permission: 'overview.read' },
    query: ClusterQuery,
    response: OverviewPage,
  })
  all(@ValidQuery() query: z.infer<typeof ClusterQuery>): Promise<Page<ClusterOverview>> {
    return this.overview.overview(query);
  }

  @Get('clusters/:cluster/summary')
  @Route({
    id: 'getClusterSummary',
    summary: 'Read a cluster at a glance',
    access: { permission: 'clusters.read' },
    response: ClusterSummary,
  })
  summary(@ClusterId() clusterId: string): Promise<ClusterSummary> {
    return this.overview.summary(clusterId);
  }

  @Get('clusters/:cluster/risky-states')
  @Route({
    id: 'listRiskyStates',
    summary: 'List what works now and should not be left so',
    description: 'First that of the cluster by kind, then that of its nodes by node id and kind.',
    access: { permission: 'clusters.read' },
    query: RiskyStateQuery,
    response: RiskyStatePage,
  })
  riskyStates(
    @ClusterId() clusterId: string,
    @ValidQuery() query: z.infer<typeof RiskyStateQuery>,
  ): Promise<Page<RiskyState>> {
    return this.overview.riskyStates(clusterId, query);
  }
}
