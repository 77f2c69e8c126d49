import { Body, Controller, Get, Post } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import type { z } from 'zod';
import { CurrentActor, PathId, ValidQuery } from '../../common/auth/request-principal.js';
import { Route } from '../../common/http/operation.js';
import type { Page } from '../../common/http/paging.js';
import type { Actor } from '../../common/request/actor.js';
import {
  PlatformNodePage,
  PlatformNodeQuery,
  PlatformNodeView,
  platformNodeEtag,
  RevokePlatformNode,
} from './platform-nodes.schema.js';
import { PlatformNodesService } from './platform-nodes.service.js';

@ApiTags('Physical nodes')
@Controller('api/v1/nodes')
export class PlatformNodesController {
  constructor(private readonly nodes: PlatformNodesService) {}

  @Get()
  @Route({
    id: 'listPlatformNodes',
    summary: 'List physical nodes across clusters, newest first',
    access: { permission: 'platform_nodes.read' },
    query: PlatformNodeQuery,
    response: PlatformNodePage,
  })
  list(@ValidQuery() query: z.infer<typeof PlatformNodeQuery>): Promise<Page<PlatformNodeView>> {
    return this.nodes.list(query);
  }

  @Get(':node')
  @Route({
    id: 'getPlatformNode',
    summary: 'Read a physical node with its memberships',
    access: { permission: 'platform_nodes.read' },
    response: PlatformNodeView,
    etag: platformNodeEtag,
  })
  get(@PathId('node') id: string): Promise<PlatformNodeView> {
    return this.nodes.get(id);
  }

  @Post(':node/revoke')
  @Route({
    id: 'revokePlatformNode',
    summary: 'End every identity and membership of a physical node, for ever',
    access: { permission: 'platform_nodes.revoke' },
    highRisk: true,
    body: RevokePlatformNode,
    bodyExample: { reason: 'Host was stolen.' },
    response: PlatformNodeView,
    etag: platformNodeEtag,
    problems: ['role_minimum_violated'],
  })
  revoke(
    @CurrentActor() actor: Actor,
    @PathId('node') id: string,
    @Body() body: z.infer<typeof RevokePlatformNode>,
  ): Promise<PlatformNodeView> {
    return this.nodes.revoke(actor, id, body);
  }
}
