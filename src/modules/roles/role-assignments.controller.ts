import { Body, Controller, Delete, Get, Post } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import type { z } from 'zod';
import { ClusterId, CurrentActor, PathId, ValidQuery } from '../../common/auth/request-principal.js';
import { Route } from '../../common/http/operation.js';
import type { Page } from '../../common/http/paging.js';
import type { Actor } from '../../common/request/actor.js';
import { BulkAssignmentView, CreateBulkAssignment } from './bulk-assignments.schema.js';
import { BulkAssignmentsService } from './bulk-assignments.service.js';
import { roleAssignmentEtag } from './role-assignment-views.js';
import {
  CreateRoleAssignment,
  DeleteRoleAssignment,
  DisableRoleAssignment,
  RoleAssignmentPage,
  RoleAssignmentQuery,
  RoleAssignmentView,
  RoleExplanation,
} from './role-assignments.schema.js';
import { RoleAssignmentsService } from './role-assignments.service.js';

@ApiTags('Roles')
@Controller('api/v1/clusters/:cluster/role-assignments')
export class RoleAssignmentsController {
  constructor(
    private readonly assignments: RoleAssignmentsService,
    private readonly bulk: BulkAssignmentsService,
  ) {}

  @Post()
  @Route({
    id: 'createRoleAssignment',
    summary: 'Give a node a role',
    access: { permission: 'role_assignments.create' },
    status: 201,
    highRisk: true,
    guardedByAuthority: true,
    body: CreateRoleAssignment,
    bodyExample: { nodeId: '019ab0c4-7e11-7a52-8d3f-5a0d7f0f3c21', role: 'vpn-exit' },
    response: RoleAssignmentView,
    etag: roleAssignmentEtag,
    problems: [
      'node_not_member',
      'capability_missing',
      'role_already_assigned',
      'cluster_archived',
      'cluster_not_authoritative',
    ],
  })
  create(
    @CurrentActor() actor: Actor,
    @ClusterId() clusterId: string,
    @Body() body: z.infer<typeof CreateRoleAssignment>,
  ): Promise<RoleAssignmentView> {
    return this.assignments.create(actor, clusterId, body);
  }

  @Post('bulk')
  @Route({
    id: 'createBulkRoleAssignment',
    summary: 'Give a role to every node that a selector selects',
    description:
      'One transaction for up to 10,000 nodes, with an answer for each; a node that is refused keeps no other from it.',
    access: { permission: 'role_assignments.create' },
    highRisk: true,
    guardedByAuthority: true,
    body: CreateBulkAssignment,
    bodyExample: { selector: { labels: { site: 'msk' } }, role: 'vpn-exit' },
    response: BulkAssignmentView,
    problems: ['group_not_found', 'selection_too_large', 'cluster_archived', 'cluster_not_authoritative'],
  })
  createBulk(
    @CurrentActor() actor: Actor,
    @ClusterId() clusterId: string,
    @Body() body: z.infer<typeof CreateBulkAssignment>,
  ): Promise<BulkAssignmentView> {
    return this.bulk.create(actor, clusterId, body);
  }

  @Get()
  @Route({
    id: 'listRoleAssignments',
    summary: 'List role assignments, newest first',
    access: { permission: 'role_assignments.read' },
    query: RoleAssignmentQuery,
    response: RoleAssignmentPage,
  })
  list(
    @ClusterId() clusterId: string,
    @ValidQuery() query: z.infer<typeof RoleAssignmentQuery>,
  ): Promise<Page<RoleAssignmentView>> {
    return this.assignments.list(clusterId, query);
  }

  @Get(':assignment')
  @Route({
    id: 'getRoleAssignment',
    summary: 'Read a role assignment',
    access: { permission: 'role_assignments.read' },
    response: RoleAssignmentView,
    etag: roleAssignmentEtag,
  })
  get(@ClusterId() clusterId: string, @PathId('assignment') id: string): Promise<RoleAssignmentView> {
    return this.assignments.get(clusterId, id);
  }

  @Get(':assignment/explain')
  @Route({
    id: 'explainRoleAssignment',
    summary: 'Say rule by rule why a role is effective, or why not',
    access: { permission: 'role_assignments.read' },
    response: RoleExplanation,
  })
  explain(@ClusterId() clusterId: string, @PathId('assignment') id: string): Promise<RoleExplanation> {
    return this.assignments.explain(clusterId, id);
  }

  @Post(':assignment/disable')
  @Route({
    id: 'disableRoleAssignment',
    summary: 'Disable a role assignment; again changes nothing',
    access: { permission: 'role_assignments.update' },
    body: DisableRoleAssignment,
    bodyOptional: true,
    bodyExample: { reason: 'Maintenance.' },
    response: RoleAssignmentView,
    etag: roleAssignmentEtag,
    problems: ['cluster_archived', 'role_minimum_violated'],
  })
  disable(
    @CurrentActor() actor: Actor,
    @ClusterId() clusterId: string,
    @PathId('assignment') id: string,
    @Body() body: z.infer<typeof DisableRoleAssignment>,
  ): Promise<RoleAssignmentView> {
    return this.assignments.disable(actor, clusterId, id, body);
  }

  @Post(':assignment/enable')
  @Route({
    id: 'enableRoleAssignment',
    summary: 'Enable a role assignment; again changes nothing',
    access: { permission: 'role_assignments.update' },
    // Enabling gives the role as assigning does; disabling only takes.
    guardedByAuthority: true,
    response: RoleAssignmentView,
    etag: roleAssignmentEtag,
    problems: ['cluster_archived', 'cluster_not_authoritative'],
  })
  enable(
    @CurrentActor() actor: Actor,
    @ClusterId() clusterId: string,
    @PathId('assignment') id: string,
  ): Promise<RoleAssignmentView> {
    return this.assignments.enable(actor, clusterId, id);
  }

  @Delete(':assignment')
  @Route({
    id: 'deleteRoleAssignment',
    summary: 'Take a role away from a node',
    access: { permission: 'role_assignments.delete' },
    status: 204,
    query: DeleteRoleAssignment,
    problems: ['cluster_archived', 'role_minimum_violated'],
  })
  delete(
    @CurrentActor() actor: Actor,
    @ClusterId() clusterId: string,
    @PathId('assignment') id: string,
    @ValidQuery() { force, reason }: z.infer<typeof DeleteRoleAssignment>,
  ): Promise<void> {
    return this.assignments.delete(actor, clusterId, id, { force, reason: reason ?? null });
  }
}
