import { Controller, Get } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import type { z } from 'zod';
import { ClusterId, PathId, ValidQuery } from '../../common/auth/request-principal.js';
import { Route } from '../../common/http/operation.js';
import type { Page } from '../../common/http/paging.js';
import { AssignmentPage, AssignmentQuery, type AssignmentView } from './assignments.schema.js';
import { AssignmentsService } from './assignments.service.js';

@ApiTags('VPN connections')
@Controller('api/v1/clusters/:cluster/vpn-connections/:connection/assignments')
export class AssignmentsController {
  constructor(private readonly assignments: AssignmentsService) {}

  @Get()
  @Route({
    id: 'listVpnAssignments',
    summary: 'List the nodes that may hold a VPN connection, with what keeps each from it',
    access: { permission: 'vpn_connections.read' },
    query: AssignmentQuery,
    response: AssignmentPage,
  })
  list(
    @ClusterId() clusterId: string,
    @PathId('connection') connectionId: string,
    @ValidQuery() query: z.infer<typeof AssignmentQuery>,
  ): Promise<Page<AssignmentView>> {
    return this.assignments.ofConnection(clusterId, connectionId, query);
  }
}
