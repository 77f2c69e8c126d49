import { Body, Controller, Delete, Get, Put } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import type { z } from 'zod';
import type { Principal } from '../../common/auth/principal.js';
import {
  ClusterId,
  CurrentActor,
  CurrentPrincipal,
  PathId,
  ValidQuery,
} from '../../common/auth/request-principal.js';
import { Route } from '../../common/http/operation.js';
import type { Page } from '../../common/http/paging.js';
import { WithStatus } from '../../common/http/with-status.js';
import type { Actor } from '../../common/request/actor.js';
import { PathServiceType } from './path-service-type.js';
import { workloadEtag } from './workload-view.js';
import {
  NodeWorkloadQuery,
  PutWorkload,
  WorkloadPage,
  WorkloadQuery,
  WorkloadView,
} from './workloads.schema.js';
import { WorkloadsService } from './workloads.service.js';

@ApiTags('Workloads')
@Controller('api/v1/clusters/:cluster')
export class WorkloadsController {
  constructor(private readonly workloads: WorkloadsService) {}

  @Put('nodes/:node/workloads/:serviceType')
  @Route({
    id: 'putWorkload',
    summary: 'Say what is to run on a node; what is left out goes back to its default',
    description:
      'Needs an active role of the node that covers the service type; diagnostic types such as `synthetic.echo` are covered by any. `privileged` is high-risk.',
    access: { permission: 'workloads.update' },
    body: PutWorkload,
    bodyExample: {
      desiredState: 'running',
      runtime: 'native',
      version: '1.4.2',
      healthCheck: { type: 'tcp', port: 7000, intervalSeconds: 10, timeoutSeconds: 3, failureThreshold: 3 },
    },
    response: WorkloadView,
    otherAnswers: [{ status: 201, description: 'It is wanted from now on.', response: WorkloadView }],
    etag: workloadEtag,
    problems: ['role_required', 'membership_revoked', 'high_risk_credential_required', 'cluster_archived'],
  })
  async put(
    @CurrentPrincipal() principal: Principal,
    @ClusterId() clusterId: string,
    @PathId('node') nodeId: string,
    @PathServiceType() serviceType: string,
    @Body() body: PutWorkload,
  ): Promise<WithStatus<WorkloadView>> {
    const { view, isNew } = await this.workloads.put(principal, { clusterId, nodeId, serviceType }, body);
    return new WithStatus(isNew ? 201 : 200, view);
  }

  @Get('nodes/:node/workloads/:serviceType')
  @Route({
    id: 'getWorkload',
    summary: 'Read what is wanted of a workload beside what its agent reports',
    access: { permission: 'workloads.read' },
    response: WorkloadView,
    etag: workloadEtag,
  })
  get(
    @ClusterId() clusterId: string,
    @PathId('node') nodeId: string,
    @PathServiceType() serviceType: string,
  ): Promise<WorkloadView> {
    return this.workloads.get({ clusterId, nodeId, serviceType });
  }

  @Delete('nodes/:node/workloads/:serviceType')
  @Route({
    id: 'deleteWorkload',
    summary: 'Want a workload no more',
    description:
      'It leaves the snapshot of the node. While its agent still reports it, it is shown as not desired.',
    access: { permission: 'workloads.delete' },
    status: 204,
    problems: ['membership_revoked', 'cluster_archived'],
  })
  delete(
    @CurrentActor() actor: Actor,
    @ClusterId() clusterId: string,
    @PathId('node') nodeId: string,
    @PathServiceType() serviceType: string,
  ): Promise<void> {
    return this.workloads.delete(actor, { clusterId, nodeId, serviceType });
  }

  @Get('nodes/:node/workloads')
  @Route({
    id: 'listNodeWorkloads',
    summary: 'List the workloads of a node, newest first',
    access: { permission: 'workloads.read' },
    query: NodeWorkloadQuery,
    response: WorkloadPage,
  })
  listOfNode(
    @ClusterId() clusterId: string,
    @PathId('node') nodeId: string,
    @ValidQuery() query: z.infer<typeof NodeWorkloadQuery>,
  ): Promise<Page<WorkloadView>> {
    return this.workloads.listOfNode(clusterId, nodeId, query);
  }

  @Get('workloads')
  @Route({
    id: 'listWorkloads',
    summary: 'List the workloads of a cluster, newest first',
    description: 'Those of revoked members only where `nodeId` names one.',
    access: { permission: 'workloads.read' },
    query: WorkloadQuery,
    response: WorkloadPage,
  })
  list(
    @ClusterId() clusterId: string,
    @ValidQuery() query: z.infer<typeof WorkloadQuery>,
  ): Promise<Page<WorkloadView>> {
    return this.workloads.list(clusterId, query);
  }
}
