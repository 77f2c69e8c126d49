import { Body, Controller, Get, Put } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import { CurrentActor } from '../../common/auth/request-principal.js';
import { contentEtag } from '../../common/http/etag.js';
import { Route } from '../../common/http/operation.js';
import type { Actor } from '../../common/request/actor.js';
import { PlatformPolicyView, PutPlatformPolicy } from './platform-policy.schema.js';
import { PlatformPolicyService } from './platform-policy.service.js';

@ApiTags('Access')
@Controller('api/v1/policy')
export class PlatformPolicyController {
  constructor(private readonly policy: PlatformPolicyService) {}

  @Get()
  @Route({
    id: 'getPlatformPolicy',
    summary: 'Read the policy of the platform',
    access: { permission: 'platform_policy.read' },
    response: PlatformPolicyView,
    etag: contentEtag,
  })
  get(): Promise<PlatformPolicyView> {
    return this.policy.read();
  }

  @Put()
  @Route({
    id: 'replacePlatformPolicy',
    summary: 'Replace the policy of the platform; what is left out goes back to its default',
    access: { permission: 'platform_policy.update' },
    highRisk: true,
    body: PutPlatformPolicy,
    bodyExample: { releaseSelfApproval: false },
    response: PlatformPolicyView,
    etag: contentEtag,
  })
  replace(@CurrentActor() actor: Actor, @Body() body: PlatformPolicyView): Promise<PlatformPolicyView> {
    return this.policy.replace(actor, body);
  }
}
