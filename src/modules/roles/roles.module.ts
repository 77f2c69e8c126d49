import { Module } from '@nestjs/common';
import { ClustersModule } from '../clusters/clusters.module.js';
import { NodesModule } from '../nodes/nodes.module.js';
import { RoleAssignmentsController } from './role-assignments.controller.js';
import { RoleAssignmentsRepository } from './role-assignments.repository.js';
import { RoleAssignmentsService } from './role-assignments.service.js';
import { RoleCatalogueController } from './role-catalogue.controller.js';
import { RoleFacet } from './role-facet.js';
import { RolesReadModel } from './roles.read-model.js';

@Module({
  imports: [ClustersModule, NodesModule],
  controllers: [RoleCatalogueController, RoleAssignmentsController],
  providers: [RoleAssignmentsRepository, RoleAssignmentsService, RoleFacet, RolesReadModel],
  exports: [RoleAssignmentsService, RolesReadModel],
})
export class RolesModule {}
