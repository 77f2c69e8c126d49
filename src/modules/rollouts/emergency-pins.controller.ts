import { Body, Controller, Get, Post } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import type { z } from 'zod';
import { ClusterId, CurrentActor, PathId, ValidQuery } from '../../common/auth/request-principal.js';
import { contentEtag } from '../../common/http/etag.js';
import { Route } from '../../common/http/operation.js';
import type { Page } from '../../common/http/paging.js';
import type { Actor } from '../../common/request/actor.js';
import {
  CreateEmergencyPin,
  EmergencyPinPage,
  EmergencyPinQuery,
  EmergencyPinView,
  LiftEmergencyPin,
} from './emergency-pins.schema.js';
import { EmergencyPinsService } from './emergency-pins.service.js';

const ANSWER = { response: EmergencyPinView, etag: contentEtag } as const;

@ApiTags('Rollouts')
@Controller('api/v1/clusters/:cluster/emergency-pins')
export class EmergencyPinsController {
  constructor(private readonly pins: EmergencyPinsService) {}

  @Post()
  @Route({
    ...ANSWER,
    id: 'createEmergencyPin',
    summary: 'Bring nodes to a version before anything else, and keep them there for a time',
    description:
      'A rollout of `kind` `emergency` leads them, by the slots of the product; what they have not begun of other rollouts waits until the pin is over, and so do pins of single nodes. What a node has begun it finishes first. Nodes that join later are not among them. No pin lets a node have a blocked version.',
    access: { permission: 'emergency_pins.update' },
    highRisk: true,
    status: 201,
    body: CreateEmergencyPin,
    bodyExample: {
      product: 'rap-node-agent',
      version: '1.0.0',
      scope: { all: true },
      reason: '2.0.0 drops sessions.',
      expiresAt: '2026-11-24T08:00:00.000Z',
      maxUnavailable: 5,
    },
    problems: [
      'cluster_archived',
      'group_not_found',
      'selection_too_large',
      'emergency_pin_overlaps',
      'release_blocked',
      'release_not_approved',
    ],
  })
  create(
    @CurrentActor() actor: Actor,
    @ClusterId() clusterId: string,
    @Body() body: z.infer<typeof CreateEmergencyPin>,
  ): Promise<EmergencyPinView> {
    return this.pins.create(actor, clusterId, body);
  }

  @Get()
  @Route({
    id: 'listEmergencyPins',
    summary: 'List emergency pins, newest first',
    access: { permission: 'rollouts.read' },
    query: EmergencyPinQuery,
    response: EmergencyPinPage,
  })
  list(
    @ClusterId() clusterId: string,
    @ValidQuery() query: z.infer<typeof EmergencyPinQuery>,
  ): Promise<Page<EmergencyPinView>> {
    return this.pins.list(clusterId, query);
  }

  @Get(':pin')
  @Route({
    ...ANSWER,
    id: 'getEmergencyPin',
    summary: 'Read an emergency pin, with what becomes of its nodes',
    description: 'Each node, and why it is not led, stands in the list of nodes of its rollout.',
    access: { permission: 'rollouts.read' },
  })
  get(@ClusterId() clusterId: string, @PathId('pin') id: string): Promise<EmergencyPinView> {
    return this.pins.read(clusterId, id);
  }

  @Post(':pin/approve')
  @Route({
    ...ANSWER,
    id: 'approveEmergencyPin',
    summary: 'Approve an emergency pin',
    description:
      'As many as `rolloutApprovals` of the policy says, by distinct people, none of them the author; with the last of them it decides.',
    access: { permission: 'rollouts.approve' },
    highRisk: true,
    problems: [
      'cluster_archived',
      'emergency_pin_over',
      'rollout_state_conflict',
      'author_may_not_approve',
      'release_blocked',
      'release_not_approved',
    ],
  })
  approve(
    @CurrentActor() actor: Actor,
    @ClusterId() clusterId: string,
    @PathId('pin') id: string,
  ): Promise<EmergencyPinView> {
    return this.pins.approve(actor, clusterId, id);
  }

  @Post(':pin/lift')
  @Route({
    ...ANSWER,
    id: 'liftEmergencyPin',
    summary: 'End an emergency pin before its time',
    description: 'Ordinary rules hold again: what waited goes on, and what nodes have begun they finish.',
    access: { permission: 'emergency_pins.update' },
    highRisk: true,
    body: LiftEmergencyPin,
    problems: ['cluster_archived', 'emergency_pin_over'],
  })
  lift(
    @CurrentActor() actor: Actor,
    @ClusterId() clusterId: string,
    @PathId('pin') id: string,
    @Body() { reason }: z.infer<typeof LiftEmergencyPin>,
  ): Promise<EmergencyPinView> {
    return this.pins.lift(actor, clusterId, id, reason);
  }
}
