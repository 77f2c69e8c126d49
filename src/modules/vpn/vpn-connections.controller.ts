import { Body, Controller, Delete, Get, Patch, Post, Put } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import type { z } from 'zod';
import { ClusterId, CurrentActor, PathId, ValidQuery } from '../../common/auth/request-principal.js';
import { contentEtag } from '../../common/http/etag.js';
import { Route } from '../../common/http/operation.js';
import type { Page } from '../../common/http/paging.js';
import type { Actor } from '../../common/request/actor.js';
import {
  CreateVpnConnection,
  PatchVpnConnection,
  PutAllowedNodes,
  PutRoutePolicies,
  VpnConnectionPage,
  VpnConnectionQuery,
  VpnConnectionView,
} from './vpn-connections.schema.js';
import { VpnConnectionsService } from './vpn-connections.service.js';

const NODE = '019ab0c4-7e11-7a52-8d3f-5a0d7f0f3c21';
const ROUTES = [{ cidr: '10.0.0.0/8', action: 'allow', priority: 100 }];

@ApiTags('VPN connections')
@Controller('api/v1/clusters/:cluster/vpn-connections')
export class VpnConnectionsController {
  constructor(private readonly connections: VpnConnectionsService) {}

  @Post()
  @Route({
    id: 'createVpnConnection',
    summary: 'Create a VPN connection',
    access: { permission: 'vpn_connections.create' },
    status: 201,
    body: CreateVpnConnection,
    bodyExample: {
      name: 'Exit 1',
      kind: 'exit',
      desiredState: 'enabled',
      allowedNodeIds: [NODE],
      routePolicies: ROUTES,
    },
    response: VpnConnectionView,
    etag: contentEtag,
    problems: ['cluster_archived', 'node_not_member'],
  })
  create(
    @CurrentActor() actor: Actor,
    @ClusterId() clusterId: string,
    @Body() body: z.infer<typeof CreateVpnConnection>,
  ): Promise<VpnConnectionView> {
    return this.connections.create(actor, clusterId, body);
  }

  @Get()
  @Route({
    id: 'listVpnConnections',
    summary: 'List VPN connections, newest first',
    access: { permission: 'vpn_connections.read' },
    query: VpnConnectionQuery,
    response: VpnConnectionPage,
  })
  list(
    @ClusterId() clusterId: string,
    @ValidQuery() query: z.infer<typeof VpnConnectionQuery>,
  ): Promise<Page<VpnConnectionView>> {
    return this.connections.list(clusterId, query);
  }

  @Get(':connection')
  @Route({
    id: 'getVpnConnection',
    summary: 'Read a VPN connection',
    access: { permission: 'vpn_connections.read' },
    response: VpnConnectionView,
    etag: contentEtag,
  })
  get(@ClusterId() clusterId: string, @PathId('connection') id: string): Promise<VpnConnectionView> {
    return this.connections.read(clusterId, id);
  }

  @Patch(':connection')
  @Route({
    id: 'updateVpnConnection',
    summary: 'Change a VPN connection; a lease that no longer fits ends with it',
    access: { permission: 'vpn_connections.update' },
    body: PatchVpnConnection,
    bodyExample: { desiredState: 'disabled' },
    response: VpnConnectionView,
    etag: contentEtag,
    problems: ['cluster_archived', 'node_not_member'],
  })
  patch(
    @CurrentActor() actor: Actor,
    @ClusterId() clusterId: string,
    @PathId('connection') id: string,
    @Body() body: z.infer<typeof PatchVpnConnection>,
  ): Promise<VpnConnectionView> {
    return this.connections.patch(actor, clusterId, id, body);
  }

  @Put(':connection/allowed-nodes')
  @Route({
    id: 'replaceVpnAllowedNodes',
    summary: 'Say which nodes may hold a VPN connection; the lease of one that may not any more ends',
    access: { permission: 'vpn_connections.update' },
    body: PutAllowedNodes,
    bodyExample: { nodeIds: [NODE] },
    response: VpnConnectionView,
    etag: contentEtag,
    problems: ['cluster_archived', 'node_not_member'],
  })
  putNodes(
    @CurrentActor() actor: Actor,
    @ClusterId() clusterId: string,
    @PathId('connection') id: string,
    @Body() { nodeIds }: z.infer<typeof PutAllowedNodes>,
  ): Promise<VpnConnectionView> {
    return this.connections.patch(actor, clusterId, id, { allowedNodeIds: nodeIds }, '#/nodeIds');
  }

  @Put(':connection/route-policies')
  @Route({
    id: 'replaceVpnRoutePolicies',
    summary: 'Say what may be reached through a VPN connection',
    description: 'Overlaps are allowed and reported in `warnings`.',
    access: { permission: 'vpn_connections.update' },
    body: PutRoutePolicies,
    bodyExample: { routePolicies: ROUTES },
    response: VpnConnectionView,
    etag: contentEtag,
    problems: ['cluster_archived'],
  })
  putRoutes(
    @CurrentActor() actor: Actor,
    @ClusterId() clusterId: string,
    @PathId('connection') id: string,
    @Body() { routePolicies }: z.infer<typeof PutRoutePolicies>,
  ): Promise<VpnConnectionView> {
    return this.connections.patch(actor, clusterId, id, { routePolicies });
  }

  @Delete(':connection')
  @Route({
    id: 'deleteVpnConnection',
    summary: 'Delete a VPN connection and end its lease',
    access: { permission: 'vpn_connections.delete' },
    status: 204,
    problems: ['cluster_archived'],
  })
  delete(
    @CurrentActor() actor: Actor,
    @ClusterId() clusterId: string,
    @PathId('connection') id: string,
  ): Promise<void> {
    return this.connections.delete(actor, clusterId, id);
  }
}
