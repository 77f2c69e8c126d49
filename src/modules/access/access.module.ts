import { Module } from '@nestjs/common';
import { APP_FILTER, APP_GUARD } from '@nestjs/core';
import { Authenticators } from '../../common/auth/authenticators.js';
import { ProblemFilter } from '../../common/http/problem.filter.js';
import { AccessGuard } from './access.guard.js';
import { AccessRecords } from './access-records.js';
import { ApiTokenAuthenticator } from './api-token.authenticator.js';
import { ApiTokensController } from './api-tokens.controller.js';
import { ApiTokensRepository } from './api-tokens.repository.js';
import { ApiTokensService } from './api-tokens.service.js';
import { AttemptsFilter } from './attempts.filter.js';
import { BootstrapAuthenticator } from './bootstrap.authenticator.js';
import { BootstrapUses } from './bootstrap-uses.js';
import { MeController } from './me.controller.js';
import { PlatformPolicyController } from './platform-policy.controller.js';
import { PlatformPolicyRepository } from './platform-policy.repository.js';
import { PlatformPolicyService } from './platform-policy.service.js';

@Module({
  controllers: [ApiTokensController, MeController, PlatformPolicyController],
  providers: [
    AccessRecords,
    ApiTokenAuthenticator,
    ApiTokensRepository,
    ApiTokensService,
    BootstrapAuthenticator,
    BootstrapUses,
    PlatformPolicyRepository,
    PlatformPolicyService,
    ProblemFilter,
    { provide: APP_GUARD, useClass: AccessGuard },
    { provide: APP_FILTER, useClass: AttemptsFilter },
  ],
  exports: [PlatformPolicyService],
})
export class AccessModule {
  constructor(
    authenticators: Authenticators,
    bootstrap: BootstrapAuthenticator,
    apiTokens: ApiTokenAuthenticator,
  ) {
    // Here and not when the module starts: the bootstrap token may look like any other and must be asked first.
    authenticators.add(bootstrap);
    authenticators.add(apiTokens);
  }
}
