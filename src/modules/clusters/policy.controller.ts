import { Body, Controller, Get, Put } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import { ClusterId, CurrentActor } from '../../common/auth/request-principal.js';
import { contentEtag } from '../../common/http/etag.js';
import { Route } from '../../common/http/operation.js';
import type { Actor } from '../../common/request/actor.js';
import { PolicyView, PutPolicy } from './policy.schema.js';
import { PolicyService } from './policy.service.js';

@ApiTags('Clusters')
@Controller('api/v1/clusters/:cluster/policy')
export class PolicyController {
  constructor(private readonly policies: PolicyService) {}

  @Get()
  @Route({
    id: 'getClusterPolicy',
    summary: "Read a cluster's policy",
    access: { permission: 'cluster_policies.read' },
    response: PolicyView,
    etag: contentEtag,
  })
  get(@ClusterId() clusterId: string): Promise<PolicyView> {
    return this.policies.read(clusterId);
  }

  @Put()
  @Route({
    id: 'replaceClusterPolicy',
    summary: "Replace a cluster's policy; what is left out goes back to its default",
    access: { permission: 'cluster_policies.update' },
    highRisk: true,
    guardedByAuthority: true,
    body: PutPolicy,
    bodyExample: { heartbeatSeconds: 15 },
    response: PolicyView,
    etag: contentEtag,
    problems: ['cluster_archived', 'cluster_not_authoritative'],
  })
  replace(
    @CurrentActor() actor: Actor,
    @ClusterId() clusterId: string,
    @Body() body: PolicyView,
  ): Promise<PolicyView> {
    return this.policies.replace(actor, clusterId, body);
  }
}
