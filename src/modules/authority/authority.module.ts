import { Module } from '@nestjs/common';
import { AuthorityController } from './authority.controller.js';
import { AuthorityGate } from './authority.gate.js';
import { AuthorityReadModel } from './authority.read-model.js';
import { AuthorityRepository } from './authority.repository.js';
import { AuthorityService } from './authority.service.js';

@Module({
  controllers: [AuthorityController],
  providers: [AuthorityGate, AuthorityReadModel, AuthorityRepository, AuthorityService],
  exports: [AuthorityGate, AuthorityReadModel, AuthorityService],
})
export class AuthorityModule {}
