import { Module } from '@nestjs/common';
import { AuthorityController } from './authority.controller.js';
import { AuthorityGate } from './authority.gate.js';
import { AuthorityReadModel } from './authority.read-model.js';
import { AuthorityRepository } from './authority.repository.js';
import { AuthorityService } from './authority.service.js';
import { AuthorityTransitionsController } from './authority-transitions.controller.js';
import { AuthorityTransitionsRepository } from './authority-transitions.repository.js';
import { AuthorityTransitionsService } from './authority-transitions.service.js';

@Module({
  controllers: [AuthorityController, AuthorityTransitionsController],
  providers: [
    AuthorityGate,
    AuthorityReadModel,
    AuthorityRepository,
    AuthorityService,
    AuthorityTransitionsRepository,
    AuthorityTransitionsService,
  ],
  exports: [AuthorityGate, AuthorityReadModel, AuthorityService],
})
export class AuthorityModule {}
