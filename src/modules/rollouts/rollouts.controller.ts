import { Body, Controller, Get, Post } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import type { z } from 'zod';
import { ClusterId, CurrentActor, PathId, ValidQuery } from '../../common/auth/request-principal.js';
import { contentEtag } from '../../common/http/etag.js';
import { Route } from '../../common/http/operation.js';
import { type Page, PageQuery } from '../../common/http/paging.js';
import type { Actor } from '../../common/request/actor.js';
import {
  CreateRollout,
  RolloutDecisionPage,
  type RolloutDecisionView,
  RolloutNodePage,
  RolloutNodeQuery,
  type RolloutNodeView,
  RolloutPage,
  RolloutPlanView,
  RolloutQuery,
  RolloutView,
} from './rollouts.schema.js';
import { RolloutsService } from './rollouts.service.js';

const EXAMPLE = {
  product: 'rap-node-agent',
  targetVersion: '2.0.0',
  strategy: {
    waves: [
      { name: 'canary', percent: 10, soakSeconds: 600 },
      { name: 'rest', percent: 100 },
    ],
    maxUnavailable: 2,
    successThresholdPercent: 95,
    failureThresholdPercent: 5,
    progressDeadlineSeconds: 3_600,
    autoRollback: true,
  },
};

@ApiTags('Rollouts')
@Controller('api/v1/clusters/:cluster/rollouts')
export class RolloutsController {
  constructor(private readonly rollouts: RolloutsService) {}

  @Post('plan')
  @Route({
    id: 'planRollout',
    summary: 'Say which nodes a rollout would update when, and which not',
    description:
      'Changes nothing. A rollout that is created next, with the same body and the same nodes, has the same `planHash`.',
    access: { permission: 'rollouts.read' },
    mutates: false,
    body: CreateRollout,
    bodyExample: EXAMPLE,
    response: RolloutPlanView,
    problems: ['group_not_found', 'selection_too_large'],
  })
  plan(
    @ClusterId() clusterId: string,
    @Body() body: z.infer<typeof CreateRollout>,
  ): Promise<RolloutPlanView> {
    return this.rollouts.plan(clusterId, body);
  }

  @Post()
  @Route({
    id: 'createRollout',
    summary: 'Draft a rollout for the nodes that there are now',
    access: { permission: 'rollouts.create' },
    status: 201,
    body: CreateRollout,
    bodyExample: EXAMPLE,
    response: RolloutView,
    etag: contentEtag,
    problems: ['cluster_archived', 'group_not_found', 'selection_too_large'],
  })
  create(
    @CurrentActor() actor: Actor,
    @ClusterId() clusterId: string,
    @Body() body: z.infer<typeof CreateRollout>,
  ): Promise<RolloutView> {
    return this.rollouts.create(actor, clusterId, body);
  }

  @Get()
  @Route({
    id: 'listRollouts',
    summary: 'List rollouts, newest first',
    access: { permission: 'rollouts.read' },
    query: RolloutQuery,
    response: RolloutPage,
  })
  list(
    @ClusterId() clusterId: string,
    @ValidQuery() query: z.infer<typeof RolloutQuery>,
  ): Promise<Page<RolloutView>> {
    return this.rollouts.list(clusterId, query);
  }

  @Get(':rollout')
  @Route({
    id: 'getRollout',
    summary: 'Read a rollout, with its nodes by state',
    access: { permission: 'rollouts.read' },
    response: RolloutView,
    etag: contentEtag,
  })
  get(@ClusterId() clusterId: string, @PathId('rollout') id: string): Promise<RolloutView> {
    return this.rollouts.read(clusterId, id);
  }

  @Get(':rollout/nodes')
  @Route({
    id: 'listRolloutNodes',
    summary: 'List the nodes of a rollout by their id: what becomes of each, or why it is skipped',
    access: { permission: 'rollouts.read' },
    query: RolloutNodeQuery,
    response: RolloutNodePage,
  })
  nodes(
    @ClusterId() clusterId: string,
    @PathId('rollout') id: string,
    @ValidQuery() query: z.infer<typeof RolloutNodeQuery>,
  ): Promise<Page<RolloutNodeView>> {
    return this.rollouts.nodes(clusterId, id, query);
  }

  @Get(':rollout/decisions')
  @Route({
    id: 'listRolloutDecisions',
    summary: 'List why a rollout did what it did, newest first',
    description: 'Each step is written down with the rule and the numbers that decided, and never changes.',
    access: { permission: 'rollouts.read' },
    query: PageQuery,
    response: RolloutDecisionPage,
  })
  decisions(
    @ClusterId() clusterId: string,
    @PathId('rollout') id: string,
    @ValidQuery() query: z.infer<typeof PageQuery>,
  ): Promise<Page<RolloutDecisionView>> {
    return this.rollouts.listDecisions(clusterId, id, query);
  }
}
