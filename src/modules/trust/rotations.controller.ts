import { Body, Controller, Get, Post } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import type { z } from 'zod';
import { ClusterId, CurrentActor, PathId, ValidQuery } from '../../common/auth/request-principal.js';
import { contentEtag } from '../../common/http/etag.js';
import { Route } from '../../common/http/operation.js';
import type { Page } from '../../common/http/paging.js';
import type { Actor } from '../../common/request/actor.js';
import {
  AdvanceRotation,
  RotationPage,
  RotationQuery,
  RotationView,
  StartRotation,
} from './rotations.schema.js';
import { RotationsService } from './rotations.service.js';

@ApiTags('Trust')
@Controller('api/v1/clusters/:cluster/trust/rotations')
export class RotationsController {
  constructor(private readonly rotations: RotationsService) {}

  @Post()
  @Route({
    id: 'startTrustRotation',
    summary: "Begin to replace a cluster's authority or snapshot key: publish a new one",
    access: { permission: 'trust.rotate' },
    status: 201,
    highRisk: true,
    guardedByAuthority: true,
    body: StartRotation,
    bodyExample: { kind: 'ca' },
    response: RotationView,
    etag: contentEtag,
    problems: ['rotation_in_progress', 'cluster_archived', 'cluster_not_authoritative'],
  })
  start(
    @CurrentActor() actor: Actor,
    @ClusterId() clusterId: string,
    @Body() body: z.infer<typeof StartRotation>,
  ): Promise<RotationView> {
    return this.rotations.start(actor, clusterId, body.kind);
  }

  @Get()
  @Route({
    id: 'listTrustRotations',
    summary: 'List rotations with who has not followed yet, newest first',
    access: { permission: 'trust.read' },
    query: RotationQuery,
    response: RotationPage,
  })
  list(
    @ClusterId() clusterId: string,
    @ValidQuery() query: z.infer<typeof RotationQuery>,
  ): Promise<Page<RotationView>> {
    return this.rotations.list(clusterId, query);
  }

  @Get(':rotation')
  @Route({
    id: 'getTrustRotation',
    summary: 'Read a rotation with who has not followed yet',
    access: { permission: 'trust.read' },
    response: RotationView,
    etag: contentEtag,
  })
  get(@ClusterId() clusterId: string, @PathId('rotation') id: string): Promise<RotationView> {
    return this.rotations.get(clusterId, id);
  }

  @Post(':rotation/advance')
  @Route({
    id: 'advanceTrustRotation',
    summary: 'Take a rotation to its next phase',
    description:
      'Retiring the old key is refused while live nodes lack the new one, unless `override` names why. Without `to`, ' +
      'a repeated call goes one phase further each time: send it, or an `Idempotency-Key`.',
    access: { permission: 'trust.rotate' },
    highRisk: true,
    guardedByAuthority: true,
    body: AdvanceRotation,
    bodyOptional: true,
    bodyExample: { to: 'activate' },
    response: RotationView,
    etag: contentEtag,
    problems: [
      'rotation_finished',
      'rotation_phase_conflict',
      'bundle_not_acknowledged',
      'cluster_archived',
      'cluster_not_authoritative',
    ],
  })
  advance(
    @CurrentActor() actor: Actor,
    @ClusterId() clusterId: string,
    @PathId('rotation') id: string,
    @Body() body: z.infer<typeof AdvanceRotation>,
  ): Promise<RotationView> {
    return this.rotations.advance(actor, clusterId, id, body);
  }
}
