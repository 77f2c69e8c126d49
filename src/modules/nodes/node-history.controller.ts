import { Controller, Get } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import type { z } from 'zod';
import { ClusterId, PathId, ValidQuery } from '../../common/auth/request-principal.js';
import { contentEtag } from '../../common/http/etag.js';
import { Route } from '../../common/http/operation.js';
import type { Page } from '../../common/http/paging.js';
import {
  NodeIdentityView,
  NodeTimelinePage,
  NodeTimelineQuery,
  type TimelineEntry,
} from './node-history.schema.js';
import { NodeHistoryService } from './node-history.service.js';

@ApiTags('Nodes')
@Controller('api/v1/clusters/:cluster/nodes/:node')
export class NodeHistoryController {
  constructor(private readonly history: NodeHistoryService) {}

  @Get('identity')
  @Route({
    id: 'getNodeIdentity',
    summary: 'Read the keys by which a node is, or was, known in this cluster',
    access: { permission: 'nodes.read' },
    response: NodeIdentityView,
    etag: contentEtag,
  })
  identity(@ClusterId() clusterId: string, @PathId('node') nodeId: string): Promise<NodeIdentityView> {
    return this.history.identity(clusterId, nodeId);
  }

  @Get('timeline')
  @Route({
    id: 'listNodeTimeline',
    summary: 'List what a node did and what was done to it in this cluster, newest first',
    description: 'Its audit events, changes of health included, without the addresses of the actors.',
    access: { permission: 'nodes.read' },
    query: NodeTimelineQuery,
    response: NodeTimelinePage,
  })
  timeline(
    @ClusterId() clusterId: string,
    @PathId('node') nodeId: string,
    @ValidQuery() query: z.infer<typeof NodeTimelineQuery>,
  ): Promise<Page<TimelineEntry>> {
    return this.history.timeline(clusterId, nodeId, query);
  }
}
