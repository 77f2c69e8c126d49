import { Module } from '@nestjs/common';
import { ManySignatures } from '../../common/crypto/many-signatures.js';
import { AuditModule } from '../audit/audit.module.js';
import { AuthorityModule } from '../authority/authority.module.js';
import { ClustersModule } from '../clusters/clusters.module.js';
import { NodesModule } from '../nodes/nodes.module.js';
import { RolesModule } from '../roles/roles.module.js';
import { RolloutsModule } from '../rollouts/rollouts.module.js';
import { UpdateCachesModule } from '../update-caches/update-caches.module.js';
import { VpnModule } from '../vpn/vpn.module.js';
import { WorkloadsModule } from '../workloads/workloads.module.js';
import { EarlyCrowd } from './early-crowd.js';
import { EarlyPolls } from './early-polls.js';
import { GenerationKeeper } from './generation-keeper.js';
import { GenerationUngrouper } from './generation-ungrouper.js';
import { GenerationsRepository } from './generations.repository.js';
import { HeldPolls } from './held-polls.js';
import { KeptGenerationGroupsRepository } from './kept-generation-groups.repository.js';
import { KeptGenerationsRepository } from './kept-generations.repository.js';
import { KeptGenerationsService } from './kept-generations.service.js';
import { KnownParts } from './known-parts.js';
import { LeaseHints } from './lease-hints.js';
import { NodeSnapshotsController } from './node-snapshots.controller.js';
import { RoleMembersSnapshotSource } from './role-members.snapshot-source.js';
import { SnapshotComposer } from './snapshot-composer.js';
import { SnapshotExplainer } from './snapshot-explainer.js';
import { SnapshotIssuer } from './snapshot-issuer.js';
import { SnapshotPolls } from './snapshot-polls.service.js';
import { SnapshotPreparer } from './snapshot-preparer.js';
import { SnapshotRenderer } from './snapshot-renderer.js';
import { SnapshotRetention } from './snapshot-retention.js';
import { SnapshotSchemaController } from './snapshot-schema.controller.js';
import { SnapshotSettler } from './snapshot-settler.js';
import { SnapshotsController } from './snapshots.controller.js';

@Module({
  imports: [
    AuditModule,
    AuthorityModule,
    ClustersModule,
    NodesModule,
    RolesModule,
    RolloutsModule,
    UpdateCachesModule,
    VpnModule,
    WorkloadsModule,
  ],
  controllers: [NodeSnapshotsController, SnapshotSchemaController, SnapshotsController],
  providers: [
    EarlyCrowd,
    EarlyPolls,
    GenerationKeeper,
    GenerationUngrouper,
    GenerationsRepository,
    HeldPolls,
    KnownParts,
    KeptGenerationGroupsRepository,
    KeptGenerationsRepository,
    KeptGenerationsService,
    LeaseHints,
    RoleMembersSnapshotSource,
    SnapshotComposer,
    SnapshotExplainer,
    ManySignatures,
    SnapshotIssuer,
    SnapshotPolls,
    SnapshotPreparer,
    SnapshotRenderer,
    SnapshotRetention,
    SnapshotSettler,
  ],
  exports: [SnapshotSettler],
})
export class SnapshotsModule {}
