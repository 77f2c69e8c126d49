import { Body, Controller, Get, Param, Put } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import type { z } from 'zod';
import { ClusterId, CurrentActor, ValidQuery } from '../../common/auth/request-principal.js';
import { Route } from '../../common/http/operation.js';
import type { Page } from '../../common/http/paging.js';
import { WithStatus } from '../../common/http/with-status.js';
import type { Actor } from '../../common/request/actor.js';
import {
  PutRoleCoverage,
  RoleCoveragePage,
  RoleCoverageQuery,
  RoleCoverageView,
  roleCoverageEtag,
} from './role-coverage.schema.js';
import { RoleCoverageService } from './role-coverage.service.js';

@ApiTags('Roles')
@Controller('api/v1/clusters/:cluster/role-coverage')
export class RoleCoverageController {
  constructor(private readonly coverage: RoleCoverageService) {}

  @Get()
  @Route({
    id: 'listRoleCoverage',
    summary: 'List how many nodes fill each role, by role',
    access: { permission: 'role_coverage.read' },
    query: RoleCoverageQuery,
    response: RoleCoveragePage,
  })
  list(
    @ClusterId() clusterId: string,
    @ValidQuery() query: z.infer<typeof RoleCoverageQuery>,
  ): Promise<Page<RoleCoverageView>> {
    return this.coverage.list(clusterId, query);
  }

  @Get(':role')
  @Route({
    id: 'getRoleCoverage',
    summary: 'Read how many nodes fill a role',
    access: { permission: 'role_coverage.read' },
    response: RoleCoverageView,
    etag: roleCoverageEtag,
  })
  get(@ClusterId() clusterId: string, @Param('role') role: string): Promise<RoleCoverageView> {
    return this.coverage.get(clusterId, role);
  }

  @Put(':role')
  @Route({
    id: 'replaceRoleCoverage',
    summary: 'Say how many nodes are to fill a role',
    description:
      'From then on taking one of the last nodes of the role is refused with `role_minimum_violated`, unless forced.',
    access: { permission: 'role_coverage.update' },
    guardedByAuthority: true,
    body: PutRoleCoverage,
    bodyExample: { minimum: 2 },
    response: RoleCoverageView,
    otherAnswers: [{ status: 201, description: 'Nobody had said it before.', response: RoleCoverageView }],
    etag: roleCoverageEtag,
    problems: ['cluster_archived', 'cluster_not_authoritative'],
  })
  async replace(
    @CurrentActor() actor: Actor,
    @ClusterId() clusterId: string,
    @Param('role') role: string,
    @Body() body: z.infer<typeof PutRoleCoverage>,
  ): Promise<WithStatus<RoleCoverageView>> {
    const { coverage, isNew } = await this.coverage.put(actor, clusterId, role, body.minimum);
    return new WithStatus(isNew ? 201 : 200, coverage);
  }
}
