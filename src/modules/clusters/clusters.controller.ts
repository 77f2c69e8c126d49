import { Body, Controller, Delete, Get, Patch, Post } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import type { z } from 'zod';
import type { Principal } from '../../common/auth/principal.js';
import {
  ClusterId,
  CurrentActor,
  CurrentPrincipal,
  ValidQuery,
} from '../../common/auth/request-principal.js';
import { contentEtag } from '../../common/http/etag.js';
import { Route } from '../../common/http/operation.js';
import type { Page } from '../../common/http/paging.js';
import type { Actor } from '../../common/request/actor.js';
import { ClusterPage, ClusterQuery, ClusterView, CreateCluster, PatchCluster } from './clusters.schema.js';
import { ClustersService } from './clusters.service.js';

@ApiTags('Clusters')
@Controller('api/v1/clusters')
export class ClustersController {
  constructor(private readonly clusters: ClustersService) {}

  @Post()
  @Route({
    id: 'createCluster',
    summary: 'Create a cluster',
    access: { permission: 'clusters.create' },
    status: 201,
    body: CreateCluster,
    bodyExample: { name: 'Moscow edge', slug: 'moscow-edge', region: 'eu-east', labels: { site: 'msk' } },
    response: ClusterView,
    etag: contentEtag,
    problems: ['slug_taken'],
  })
  create(@CurrentActor() actor: Actor, @Body() body: z.infer<typeof CreateCluster>): Promise<ClusterView> {
    return this.clusters.create(actor, body);
  }

  @Get()
  @Route({
    id: 'listClusters',
    summary: 'List clusters, newest first',
    access: { permission: 'clusters.read' },
    query: ClusterQuery,
    response: ClusterPage,
  })
  list(
    @CurrentPrincipal() principal: Principal,
    @ValidQuery() query: z.infer<typeof ClusterQuery>,
  ): Promise<Page<ClusterView>> {
    return this.clusters.list(principal, query);
  }

  @Get(':cluster')
  @Route({
    id: 'getCluster',
    summary: 'Read a cluster',
    access: { permission: 'clusters.read' },
    response: ClusterView,
    etag: contentEtag,
  })
  get(@ClusterId() clusterId: string): Promise<ClusterView> {
    return this.clusters.get(clusterId);
  }

  @Patch(':cluster')
  @Route({
    id: 'updateCluster',
    summary: "Change a cluster's name, region, labels or metadata",
    access: { permission: 'clusters.update' },
    body: PatchCluster,
    bodyExample: { labels: { site: 'spb' } },
    response: ClusterView,
    etag: contentEtag,
    problems: ['cluster_archived'],
  })
  patch(
    @CurrentActor() actor: Actor,
    @ClusterId() clusterId: string,
    @Body() body: z.infer<typeof PatchCluster>,
  ): Promise<ClusterView> {
    return this.clusters.patch(actor, clusterId, body);
  }

  @Delete(':cluster')
  @Route({
    id: 'archiveCluster',
    summary: 'Archive a cluster without active members, for ever',
    access: { permission: 'clusters.archive' },
    status: 204,
    holdsClusterAlone: true,
    problems: ['cluster_archived', 'cluster_not_empty'],
  })
  archive(@CurrentActor() actor: Actor, @ClusterId() clusterId: string): Promise<void> {
    return this.clusters.archive(actor, clusterId);
  }
}
