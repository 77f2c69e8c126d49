import { Body, Controller, Delete, Get, Param, Post } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import type { z } from 'zod';
import type { Principal } from '../../common/auth/principal.js';
import { CurrentActor, CurrentPrincipal, ValidQuery } from '../../common/auth/request-principal.js';
import { Route } from '../../common/http/operation.js';
import type { Page } from '../../common/http/paging.js';
import type { Actor } from '../../common/request/actor.js';
import {
  ApiTokenPage,
  ApiTokenQuery,
  ApiTokenView,
  apiTokenEtag,
  CreateApiToken,
  IssuedApiToken,
} from './api-tokens.schema.js';
import { ApiTokensService } from './api-tokens.service.js';

@ApiTags('Access')
@Controller('api/v1/api-tokens')
export class ApiTokensController {
  constructor(private readonly tokens: ApiTokensService) {}

  @Post()
  @Route({
    id: 'createApiToken',
    summary: 'Create an API token',
    description:
      'The token is shown once. It holds a role, single permissions, or both, over the platform or one cluster, and ' +
      'never more than whoever creates it. A `highRisk` token needs an expiry, and creating it is high-risk itself.',
    access: { permission: 'api_tokens.create' },
    status: 201,
    body: CreateApiToken,
    bodyExample: {
      name: 'ci-deploy',
      role: 'platform-operator',
      expiresInSeconds: 86_400,
      allowedAddresses: ['192.0.2.0/24'],
    },
    response: IssuedApiToken,
    secrets: ['token'],
    etag: ({ token: _, ...view }: z.infer<typeof IssuedApiToken>) => apiTokenEtag(view),
    problems: ['permission_not_held', 'high_risk_credential_required'],
  })
  create(
    @CurrentPrincipal() principal: Principal,
    @Body() body: z.infer<typeof CreateApiToken>,
  ): Promise<z.infer<typeof IssuedApiToken>> {
    return this.tokens.create(principal, body);
  }

  @Get()
  @Route({
    id: 'listApiTokens',
    summary: 'List API tokens, dead ones too, newest first',
    access: { permission: 'api_tokens.read' },
    query: ApiTokenQuery,
    response: ApiTokenPage,
  })
  list(@ValidQuery() query: z.infer<typeof ApiTokenQuery>): Promise<Page<ApiTokenView>> {
    return this.tokens.list(query);
  }

  @Get(':token')
  @Route({
    id: 'getApiToken',
    summary: 'Read an API token',
    access: { permission: 'api_tokens.read' },
    response: ApiTokenView,
    etag: apiTokenEtag,
  })
  get(@Param('token') id: string): Promise<ApiTokenView> {
    return this.tokens.get(id);
  }

  @Delete(':token')
  @Route({
    id: 'revokeApiToken',
    summary: 'Revoke an API token',
    description:
      'It ends at once and for ever; its entry stays, with `revokedAt`. Revoking it again changes nothing and is 204 too.',
    access: { permission: 'api_tokens.revoke' },
    status: 204,
  })
  revoke(@CurrentActor() actor: Actor, @Param('token') id: string): Promise<void> {
    return this.tokens.revoke(actor, id);
  }
}
