import { Body, Controller, Get, Patch, Post } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import type { z } from 'zod';
import { ClusterId, CurrentActor, PathId, ValidQuery } from '../../common/auth/request-principal.js';
import { Route } from '../../common/http/operation.js';
import type { Page } from '../../common/http/paging.js';
import type { Actor } from '../../common/request/actor.js';
import { MembershipsService } from './memberships.service.js';
import { nodeEtag } from './node-view.js';
import { DisableNode, NodePage, NodeQuery, NodeView, PatchNode, RevokeNode } from './nodes.schema.js';
import { NodesService } from './nodes.service.js';

@ApiTags('Nodes')
@Controller('api/v1/clusters/:cluster/nodes')
export class NodesController {
  constructor(
    private readonly nodes: NodesService,
    private readonly memberships: MembershipsService,
  ) {}

  @Get()
  @Route({
    id: 'listNodes',
    summary: "List a cluster's nodes, newest first",
    access: { permission: 'nodes.read' },
    query: NodeQuery,
    response: NodePage,
    problems: ['invalid_filter'],
  })
  list(
    @ClusterId() clusterId: string,
    @ValidQuery() query: z.infer<typeof NodeQuery>,
  ): Promise<Page<NodeView>> {
    return this.nodes.list(clusterId, query);
  }

  @Get(':node')
  @Route({
    id: 'getNode',
    summary: 'Read a node',
    access: { permission: 'nodes.read' },
    response: NodeView,
    etag: nodeEtag,
  })
  get(@ClusterId() clusterId: string, @PathId('node') nodeId: string): Promise<NodeView> {
    return this.nodes.get(clusterId, nodeId);
  }

  @Patch(':node')
  @Route({
    id: 'updateNode',
    summary: "Change a node's name, group, labels or telemetry",
    access: { permission: 'nodes.update' },
    body: PatchNode,
    bodyExample: { labels: { ring: 'canary' } },
    response: NodeView,
    etag: nodeEtag,
    problems: ['cluster_archived', 'node_name_taken', 'membership_revoked', 'group_not_found'],
  })
  patch(
    @CurrentActor() actor: Actor,
    @ClusterId() clusterId: string,
    @PathId('node') nodeId: string,
    @Body() body: z.infer<typeof PatchNode>,
  ): Promise<NodeView> {
    return this.memberships.patch(actor, clusterId, nodeId, body);
  }

  @Post(':node/disable')
  @Route({
    id: 'disableNode',
    summary: 'Take its work from a node; its identity stays',
    access: { permission: 'nodes.disable' },
    body: DisableNode,
    bodyOptional: true,
    bodyExample: { reason: 'Maintenance.' },
    response: NodeView,
    etag: nodeEtag,
    problems: ['cluster_archived', 'membership_revoked', 'role_minimum_violated'],
  })
  disable(
    @CurrentActor() actor: Actor,
    @ClusterId() clusterId: string,
    @PathId('node') nodeId: string,
    @Body() body: z.infer<typeof DisableNode>,
  ): Promise<NodeView> {
    return this.memberships.disable(actor, clusterId, nodeId, body);
  }

  @Post(':node/enable')
  @Route({
    id: 'enableNode',
    summary: 'Give a disabled node its work back',
    access: { permission: 'nodes.disable' },
    // Its roles, certificates and leases come with it.
    guardedByAuthority: true,
    response: NodeView,
    etag: nodeEtag,
    problems: [
      'cluster_archived',
      'cluster_not_authoritative',
      'membership_revoked',
      'node_without_identity',
    ],
  })
  enable(
    @CurrentActor() actor: Actor,
    @ClusterId() clusterId: string,
    @PathId('node') nodeId: string,
  ): Promise<NodeView> {
    return this.memberships.enable(actor, clusterId, nodeId);
  }

  @Post(':node/revoke')
  @Route({
    id: 'revokeNode',
    summary: "End a node's identity and membership in this cluster, for ever",
    access: { permission: 'nodes.revoke' },
    highRisk: true,
    body: RevokeNode,
    bodyExample: { reason: 'Host was decommissioned.' },
    response: NodeView,
    etag: nodeEtag,
    problems: ['cluster_archived', 'role_minimum_violated'],
  })
  revoke(
    @CurrentActor() actor: Actor,
    @ClusterId() clusterId: string,
    @PathId('node') nodeId: string,
    @Body() body: z.infer<typeof RevokeNode>,
  ): Promise<NodeView> {
    return this.memberships.revoke(actor, clusterId, nodeId, body);
  }
}
