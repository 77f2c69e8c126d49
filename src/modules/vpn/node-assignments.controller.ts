import { Body, Controller, Get, Put } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import type { z } from 'zod';
import type { NodePrincipal } from '../../common/auth/principal.js';
import { CurrentActor, CurrentNode, PathId, ValidQuery } from '../../common/auth/request-principal.js';
import { Route } from '../../common/http/operation.js';
import type { Actor } from '../../common/request/actor.js';
import {
  AssignmentReport,
  OwnAssignmentPage,
  OwnAssignmentQuery,
  ReportAssignment,
} from './assignments.schema.js';
import { AssignmentsService, type OwnAssignments } from './assignments.service.js';

@ApiTags('Node agents')
@Controller('api/v1/node-agents/me/vpn-assignments')
export class NodeAssignmentsController {
  constructor(private readonly assignments: AssignmentsService) {}

  @Get()
  @Route({
    id: 'listOwnVpnAssignments',
    summary: 'List the VPN connections that the node may hold, newest first',
    access: 'node',
    query: OwnAssignmentQuery,
    response: OwnAssignmentPage,
  })
  list(
    @CurrentNode() node: NodePrincipal,
    @ValidQuery() query: z.infer<typeof OwnAssignmentQuery>,
  ): Promise<OwnAssignments> {
    return this.assignments.ofNode(node, query);
  }

  @Put(':connection/status')
  @Route({
    id: 'reportVpnAssignment',
    summary: 'Say how a VPN connection fares on the node',
    access: 'node',
    mutates: false,
    body: ReportAssignment,
    bodyExample: { status: 'lease_required' },
    response: AssignmentReport,
    problems: ['not_found'],
  })
  report(
    @CurrentActor() actor: Actor,
    @CurrentNode() node: NodePrincipal,
    @PathId('connection') connectionId: string,
    @Body() body: z.infer<typeof ReportAssignment>,
  ): Promise<AssignmentReport> {
    return this.assignments.report(actor, node, connectionId, body);
  }
}
