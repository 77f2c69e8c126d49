import { Module, type OnModuleInit } from '@nestjs/common';
import { NodesModule } from '../nodes/nodes.module.js';
import { AssignedArtifacts } from '../releases/assigned-artifacts.js';
import { ReleasesModule } from '../releases/releases.module.js';
import { RolesModule } from '../roles/roles.module.js';
import { RolloutsModule } from '../rollouts/rollouts.module.js';
import { NodeUpdateCacheController } from './node-update-cache.controller.js';
import { UpdateCacheEvents } from './update-cache-events.js';
import { UpdateCachesController } from './update-caches.controller.js';
import { UpdateCachesReadModel } from './update-caches.read-model.js';
import { UpdateCachesRepository } from './update-caches.repository.js';
import { UpdateCachesService } from './update-caches.service.js';
import { UpdateCachesSnapshotSource } from './update-caches.snapshot-source.js';

@Module({
  imports: [NodesModule, ReleasesModule, RolesModule, RolloutsModule],
  controllers: [NodeUpdateCacheController, UpdateCachesController],
  providers: [
    UpdateCacheEvents,
    UpdateCachesReadModel,
    UpdateCachesRepository,
    UpdateCachesService,
    UpdateCachesSnapshotSource,
  ],
  exports: [UpdateCachesReadModel],
})
export class UpdateCachesModule implements OnModuleInit {
  constructor(
    private readonly artifacts: AssignedArtifacts,
    private readonly caches: UpdateCachesService,
  ) {}

  onModuleInit(): void {
    this.artifacts.add((tx, node) => this.caches.artifactsFor(tx, node));
  }
}
