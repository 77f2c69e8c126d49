import { join } from 'node:path';
import { Module } from '@nestjs/common';
import { RUNTIME, type Runtime } from '../../common/config/runtime.js';
import { AccessModule } from '../access/access.module.js';
import { ClustersModule } from '../clusters/clusters.module.js';
import { ArtifactSpool } from './artifact-spool.js';
import { ARTIFACT_STORE, type ArtifactStore } from './artifact-store.js';
import { ArtifactsController } from './artifacts.controller.js';
import { ArtifactsRepository } from './artifacts.repository.js';
import { ArtifactsService } from './artifacts.service.js';
import { AssignedArtifacts } from './assigned-artifacts.js';
import { ChannelRetreat } from './channel-retreat.js';
import { ChannelsController } from './channels.controller.js';
import { ChannelsRepository } from './channels.repository.js';
import { ChannelsService } from './channels.service.js';
import { DirectoryStore } from './directory-store.js';
import { FileAnswers } from './file-answers.js';
import { NodeArtifactsController } from './node-artifacts.controller.js';
import { NodeArtifactsService } from './node-artifacts.service.js';
import { ProductsController } from './products.controller.js';
import { ProductsRepository } from './products.repository.js';
import { ProductsService } from './products.service.js';
import { ReleaseDecisionsService } from './release-decisions.service.js';
import { ReleasePublishingService } from './release-publishing.service.js';
import { ReleasesController } from './releases.controller.js';
import { ReleasesReadModel } from './releases.read-model.js';
import { ReleasesRepository } from './releases.repository.js';
import { ReleasesService } from './releases.service.js';
import { S3Store } from './s3-store.js';
import { SigningKeysController } from './signing-keys.controller.js';
import { SigningKeysRepository } from './signing-keys.repository.js';
import { SigningKeysService } from './signing-keys.service.js';
import { StorageSweep } from './storage-sweep.js';

/** Files on their way in lie on the disk of the store, so that they need not be copied into it. */
function spoolFor({ config }: Runtime): ArtifactSpool {
  const { store } = config.artifacts;
  const directory = store.kind === 'directory' ? store.path : join(config.dataDir, 'artifacts');
  return new ArtifactSpool(join(directory, 'incoming'));
}

function storeFor({ config }: Runtime): ArtifactStore {
  const { store } = config.artifacts;
  return store.kind === 'directory' ? new DirectoryStore(store.path) : new S3Store(store);
}

@Module({
  imports: [AccessModule, ClustersModule],
  controllers: [
    ProductsController,
    SigningKeysController,
    ReleasesController,
    ArtifactsController,
    ChannelsController,
    NodeArtifactsController,
  ],
  providers: [
    ArtifactsRepository,
    ArtifactsService,
    AssignedArtifacts,
    ChannelRetreat,
    ChannelsRepository,
    ChannelsService,
    FileAnswers,
    NodeArtifactsService,
    ProductsRepository,
    ProductsService,
    ReleaseDecisionsService,
    ReleasePublishingService,
    ReleasesReadModel,
    ReleasesRepository,
    ReleasesService,
    SigningKeysRepository,
    SigningKeysService,
    StorageSweep,
    { provide: ArtifactSpool, useFactory: spoolFor, inject: [RUNTIME] },
    { provide: ARTIFACT_STORE, useFactory: storeFor, inject: [RUNTIME] },
  ],
  exports: [AssignedArtifacts, ReleasesReadModel],
})
export class ReleasesModule {}
