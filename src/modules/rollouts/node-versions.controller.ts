import { Body, Controller, Delete, Get, Param, Put } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import type { z } from 'zod';
import { ClusterId, CurrentActor, PathId } from '../../common/auth/request-principal.js';
import { contentEtag } from '../../common/http/etag.js';
import { Route } from '../../common/http/operation.js';
import { WithStatus } from '../../common/http/with-status.js';
import type { Actor } from '../../common/request/actor.js';
import { VersionExplainer } from './version-explainer.js';
import { PutVersionPin, VersionExplanation, VersionPinView } from './version-pins.schema.js';
import { VersionPinsService } from './version-pins.service.js';

@ApiTags('Rollouts')
@Controller('api/v1/clusters/:cluster/nodes/:node')
export class NodeVersionsController {
  constructor(
    private readonly pins: VersionPinsService,
    private readonly explainer: VersionExplainer,
  ) {}

  @Get('pins/:product')
  @Route({
    id: 'getVersionPin',
    summary: 'Read to which version of a product a node is pinned',
    access: { permission: 'rollouts.read' },
    response: VersionPinView,
    etag: contentEtag,
  })
  read(
    @ClusterId() clusterId: string,
    @PathId('node') nodeId: string,
    @Param('product') product: string,
  ): Promise<VersionPinView> {
    return this.pins.read(clusterId, nodeId, product);
  }

  @Put('pins/:product')
  @Route({
    id: 'putVersionPin',
    summary: 'Bring a node to a version of a product, and keep it there',
    description:
      'A rollout of the node alone (`kind` `pin`) leads it there, by the slots of the product and with the approvals that the policy asks for. What it has not begun of another one is taken from it; what it has begun it finishes. No pin lets a node have a blocked version.',
    access: { permission: 'version_pins.update' },
    body: PutVersionPin,
    bodyExample: { version: '1.0.0', reason: 'A driver needs it.' },
    response: VersionPinView,
    otherAnswers: [{ status: 201, description: 'It is pinned now.', response: VersionPinView }],
    etag: contentEtag,
    problems: ['cluster_archived', 'node_not_member', 'release_blocked', 'release_not_approved'],
  })
  async put(
    @CurrentActor() actor: Actor,
    @ClusterId() clusterId: string,
    @PathId('node') nodeId: string,
    @Param('product') product: string,
    @Body() body: z.infer<typeof PutVersionPin>,
  ): Promise<VersionPinView | WithStatus<VersionPinView>> {
    const { pin, isNew } = await this.pins.put(actor, clusterId, nodeId, product, body);
    return isNew ? new WithStatus(201, pin) : pin;
  }

  @Delete('pins/:product')
  @Route({
    id: 'deleteVersionPin',
    summary: 'Let rollouts have a node again',
    access: { permission: 'version_pins.update' },
    status: 204,
    problems: ['cluster_archived'],
  })
  delete(
    @CurrentActor() actor: Actor,
    @ClusterId() clusterId: string,
    @PathId('node') nodeId: string,
    @Param('product') product: string,
  ): Promise<void> {
    return this.pins.remove(actor, clusterId, nodeId, product);
  }

  @Get('versions/:product/explain')
  @Route({
    id: 'explainVersion',
    summary: 'Say why a node is on its version, why it is not updating, and what would change that',
    access: { permission: 'rollouts.read' },
    response: VersionExplanation,
  })
  explain(
    @ClusterId() clusterId: string,
    @PathId('node') nodeId: string,
    @Param('product') product: string,
  ): Promise<VersionExplanation> {
    return this.explainer.explain(clusterId, nodeId, product);
  }
}
