import { Module } from '@nestjs/common';
import { ClustersModule } from '../clusters/clusters.module.js';
import { NodesModule } from '../nodes/nodes.module.js';
import { AdminIngressReadModel } from './admin-ingress.read-model.js';
import { BulkAssignmentsService } from './bulk-assignments.service.js';
import { RoleAssignmentViews } from './role-assignment-views.js';
import { RoleAssignmentsController } from './role-assignments.controller.js';
import { RoleAssignmentsRepository } from './role-assignments.repository.js';
import { RoleAssignmentsService } from './role-assignments.service.js';
import { RoleBearers } from './role-bearers.js';
import { RoleCatalogueController } from './role-catalogue.controller.js';
import { RoleCoverageController } from './role-coverage.controller.js';
import { RoleCoverageReadModel } from './role-coverage.read-model.js';
import { RoleCoverageRepository } from './role-coverage.repository.js';
import { RoleCoverageService } from './role-coverage.service.js';
import { RoleFacet } from './role-facet.js';
import { RoleMinimums } from './role-minimums.js';
import { RolesReadModel } from './roles.read-model.js';
import { RolesSnapshotSource } from './roles.snapshot-source.js';

@Module({
  imports: [ClustersModule, NodesModule],
  controllers: [RoleCatalogueController, RoleAssignmentsController, RoleCoverageController],
  providers: [
    AdminIngressReadModel,
    BulkAssignmentsService,
    RoleAssignmentsRepository,
    RoleAssignmentsService,
    RoleAssignmentViews,
    RoleBearers,
    RoleCoverageReadModel,
    RoleCoverageRepository,
    RoleCoverageService,
    RoleFacet,
    RoleMinimums,
    RolesReadModel,
    RolesSnapshotSource,
  ],
  exports: [RoleAssignmentsService, RoleBearers, RoleCoverageReadModel, RolesReadModel],
})
export class RolesModule {}
