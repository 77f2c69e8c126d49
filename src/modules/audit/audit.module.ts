import { Module } from '@nestjs/common';
import { AuditController } from './audit.controller.js';
import { AuditReadModel } from './audit.read-model.js';
import { AuditRepository } from './audit.repository.js';
import { AuditService } from './audit.service.js';

@Module({
  controllers: [AuditController],
  providers: [AuditReadModel, AuditRepository, AuditService],
  exports: [AuditReadModel],
})
export class AuditModule {}
