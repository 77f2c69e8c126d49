import { Module } from '@nestjs/common';
import { AuthorityController } from './authority.controller.js';
import { AuthorityGate } from './authority.gate.js';
import { AuthorityReadModel } from './authority.read-model.js';
import { AuthorityRepository } from './authority.repository.js';
import { AuthorityService } from './authority.service.js';
import { AuthoritySnapshotSource } from './authority.snapshot-source.js';
import { AuthorityClaimsRepository } from './authority-claims.repository.js';
import { AuthorityClaims } from './authority-claims.service.js';
import { AuthorityRisks } from './authority-risks.js';
import { AuthorityTransitionsController } from './authority-transitions.controller.js';
import { AuthorityTransitionsRepository } from './authority-transitions.repository.js';
import { AuthorityTransitionsService } from './authority-transitions.service.js';
import { MassLapsesRepository } from './mass-lapses.repository.js';
import { MassLapses } from './mass-lapses.service.js';
import { PartitionsRepository } from './partitions.repository.js';
import { PartitionsService } from './partitions.service.js';
import { RestoreDeclaration } from './restore-declaration.js';
import { ServerWatch } from './server-watch.js';
import { TakeoverHolds } from './takeover-holds.js';
import { TermsRepository } from './terms.repository.js';
import { TermsService } from './terms.service.js';

@Module({
  controllers: [AuthorityController, AuthorityTransitionsController],
  providers: [
    AuthorityClaims,
    AuthorityClaimsRepository,
    AuthorityGate,
    AuthorityReadModel,
    AuthorityRepository,
    AuthorityRisks,
    AuthorityService,
    AuthoritySnapshotSource,
    AuthorityTransitionsRepository,
    AuthorityTransitionsService,
    MassLapses,
    MassLapsesRepository,
    PartitionsRepository,
    PartitionsService,
    RestoreDeclaration,
    ServerWatch,
    TakeoverHolds,
    TermsRepository,
    TermsService,
  ],
  exports: [
    AuthorityClaims,
    AuthorityGate,
    AuthorityReadModel,
    AuthorityRisks,
    AuthorityService,
    MassLapses,
    PartitionsService,
    TakeoverHolds,
  ],
})
export class AuthorityModule {}
