import { Module } from '@nestjs/common';
import { AuthorityController } from './authority.controller.js';
import { AuthorityGate } from './authority.gate.js';
import { AuthorityRepository } from './authority.repository.js';
import { AuthorityService } from './authority.service.js';

@Module({
  controllers: [AuthorityController],
  providers: [AuthorityGate, AuthorityRepository, AuthorityService],
  exports: [AuthorityGate, AuthorityService],
})
export class AuthorityModule {}
