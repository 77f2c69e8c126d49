import { Body, Controller, Delete, Get, Patch, Post } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import type { z } from 'zod';
import { ClusterId, CurrentActor, PathId, ValidQuery } from '../../common/auth/request-principal.js';
import { contentEtag } from '../../common/http/etag.js';
import { Route } from '../../common/http/operation.js';
import type { Page } from '../../common/http/paging.js';
import type { Actor } from '../../common/request/actor.js';
import {
  CreateNodeGroup,
  NodeGroupPage,
  NodeGroupQuery,
  NodeGroupView,
  PatchNodeGroup,
} from './node-groups.schema.js';
import { NodeGroupsService } from './node-groups.service.js';

@ApiTags('Node groups')
@Controller('api/v1/clusters/:cluster/node-groups')
export class NodeGroupsController {
  constructor(private readonly groups: NodeGroupsService) {}

  @Post()
  @Route({
    id: 'createNodeGroup',
    summary: 'Create a node group',
    access: { permission: 'node_groups.manage' },
    status: 201,
    body: CreateNodeGroup,
    bodyExample: { name: 'edge' },
    response: NodeGroupView,
    etag: contentEtag,
    problems: ['cluster_archived', 'group_name_taken', 'group_not_found', 'group_too_deep'],
  })
  create(
    @CurrentActor() actor: Actor,
    @ClusterId() clusterId: string,
    @Body() body: z.infer<typeof CreateNodeGroup>,
  ): Promise<NodeGroupView> {
    return this.groups.create(actor, clusterId, body);
  }

  @Get()
  @Route({
    id: 'listNodeGroups',
    summary: 'List node groups, newest first',
    access: { permission: 'node_groups.read' },
    query: NodeGroupQuery,
    response: NodeGroupPage,
  })
  list(
    @ClusterId() clusterId: string,
    @ValidQuery() query: z.infer<typeof NodeGroupQuery>,
  ): Promise<Page<NodeGroupView>> {
    return this.groups.list(clusterId, query);
  }

  @Get(':group')
  @Route({
    id: 'getNodeGroup',
    summary: 'Read a node group',
    access: { permission: 'node_groups.read' },
    response: NodeGroupView,
    etag: contentEtag,
  })
  get(@ClusterId() clusterId: string, @PathId('group') id: string): Promise<NodeGroupView> {
    return this.groups.get(clusterId, id);
  }

  @Patch(':group')
  @Route({
    id: 'updateNodeGroup',
    summary: 'Rename a node group, or move it with all that lies in it',
    access: { permission: 'node_groups.manage' },
    body: PatchNodeGroup,
    bodyExample: { parentId: null },
    response: NodeGroupView,
    etag: contentEtag,
    problems: ['cluster_archived', 'group_cycle', 'group_name_taken', 'group_not_found', 'group_too_deep'],
  })
  patch(
    @CurrentActor() actor: Actor,
    @ClusterId() clusterId: string,
    @PathId('group') id: string,
    @Body() body: z.infer<typeof PatchNodeGroup>,
  ): Promise<NodeGroupView> {
    return this.groups.patch(actor, clusterId, id, body);
  }

  @Delete(':group')
  @Route({
    id: 'deleteNodeGroup',
    summary: 'Remove an empty node group',
    access: { permission: 'node_groups.manage' },
    status: 204,
    problems: ['cluster_archived', 'node_group_not_empty'],
  })
  delete(
    @CurrentActor() actor: Actor,
    @ClusterId() clusterId: string,
    @PathId('group') id: string,
  ): Promise<void> {
    return this.groups.delete(actor, clusterId, id);
  }
}
