import { Body, Controller, Get, Post } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import type { z } from 'zod';
import type { Principal } from '../../common/auth/principal.js';
import {
  ClusterId,
  CurrentActor,
  CurrentPrincipal,
  PathId,
  ValidQuery,
} from '../../common/auth/request-principal.js';
import { Route } from '../../common/http/operation.js';
import type { Page } from '../../common/http/paging.js';
import type { Actor } from '../../common/request/actor.js';
import {
  CreateJoinToken,
  IssuedJoinToken,
  JoinTokenPage,
  JoinTokenQuery,
  JoinTokenView,
} from './join-tokens.schema.js';
import { JoinTokensService, joinTokenEtag } from './join-tokens.service.js';

@ApiTags('Enrollment')
@Controller('api/v1/clusters/:cluster/join-tokens')
export class JoinTokensController {
  constructor(private readonly joinTokens: JoinTokensService) {}

  @Post()
  @Route({
    id: 'createJoinToken',
    summary: 'Create a join token',
    description:
      'The answer shows the token once. `autoApprove` is high-risk and needs join_tokens.auto_approve.',
    access: { permission: 'join_tokens.create' },
    status: 201,
    body: CreateJoinToken,
    bodyOptional: true,
    bodyExample: {
      description: 'Edge hosts, rack 7',
      expiresInSeconds: 3600,
      maxUses: 3,
      scope: { nodeNamePattern: 'edge-*' },
    },
    response: IssuedJoinToken,
    secrets: ['token'],
    etag: joinTokenEtag,
    problems: ['high_risk_credential_required', 'group_not_found', 'cluster_archived'],
  })
  create(
    @CurrentPrincipal() principal: Principal,
    @ClusterId() clusterId: string,
    @Body() body: z.infer<typeof CreateJoinToken>,
  ): Promise<IssuedJoinToken> {
    return this.joinTokens.create(principal, clusterId, body);
  }

  @Get()
  @Route({
    id: 'listJoinTokens',
    summary: 'List join tokens, newest first',
    access: { permission: 'join_tokens.read' },
    query: JoinTokenQuery,
    response: JoinTokenPage,
  })
  list(
    @ClusterId() clusterId: string,
    @ValidQuery() query: z.infer<typeof JoinTokenQuery>,
  ): Promise<Page<JoinTokenView>> {
    return this.joinTokens.list(clusterId, query);
  }

  @Get(':token')
  @Route({
    id: 'getJoinToken',
    summary: 'Read a join token, without its secret',
    access: { permission: 'join_tokens.read' },
    response: JoinTokenView,
    etag: joinTokenEtag,
  })
  get(@ClusterId() clusterId: string, @PathId('token') id: string): Promise<JoinTokenView> {
    return this.joinTokens.get(clusterId, id);
  }

  @Post(':token/revoke')
  @Route({
    id: 'revokeJoinToken',
    summary: 'End a join token; again changes nothing',
    description: 'Requests that were made with it stay for review.',
    access: { permission: 'join_tokens.revoke' },
    response: JoinTokenView,
    etag: joinTokenEtag,
    problems: ['cluster_archived'],
  })
  revoke(
    @CurrentActor() actor: Actor,
    @ClusterId() clusterId: string,
    @PathId('token') id: string,
  ): Promise<JoinTokenView> {
    return this.joinTokens.revoke(actor, clusterId, id);
  }
}
