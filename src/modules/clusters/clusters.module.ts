import { Module } from '@nestjs/common';
import { AuthorityModule } from '../authority/authority.module.js';
import { ClusterSnapshotSource } from './cluster.snapshot-source.js';
import { ClusterDirectory } from './cluster-directory.js';
import { ClusterKeyStore } from './cluster-key-store.js';
import { ClusterKeys } from './cluster-keys.js';
import { ClustersController } from './clusters.controller.js';
import { ClustersRepository } from './clusters.repository.js';
import { ClustersService } from './clusters.service.js';
import { PolicyController } from './policy.controller.js';
import { PolicyReadModel } from './policy.read-model.js';
import { PolicyRepository } from './policy.repository.js';
import { PolicyService } from './policy.service.js';
import { TrustController } from './trust.controller.js';

@Module({
  imports: [AuthorityModule],
  controllers: [ClustersController, PolicyController, TrustController],
  providers: [
    ClusterDirectory,
    ClusterKeys,
    ClusterKeyStore,
    ClustersRepository,
    ClustersService,
    ClusterSnapshotSource,
    PolicyReadModel,
    PolicyRepository,
    PolicyService,
  ],
  exports: [ClusterDirectory, ClusterKeys, ClusterKeyStore, ClustersService, PolicyReadModel, PolicyService],
})
export class ClustersModule {}
