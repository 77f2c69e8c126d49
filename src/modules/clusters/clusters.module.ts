import { Module } from '@nestjs/common';
import { AuthorityModule } from '../authority/authority.module.js';
import { ClusterDirectory } from './cluster-directory.js';
import { ClustersController } from './clusters.controller.js';
import { ClustersRepository } from './clusters.repository.js';
import { ClustersService } from './clusters.service.js';
import { PolicyController } from './policy.controller.js';
import { PolicyRepository } from './policy.repository.js';
import { PolicyService } from './policy.service.js';

@Module({
  imports: [AuthorityModule],
  controllers: [ClustersController, PolicyController],
  providers: [ClusterDirectory, ClustersRepository, ClustersService, PolicyRepository, PolicyService],
  exports: [ClusterDirectory, ClustersService, PolicyService],
})
export class ClustersModule {}
