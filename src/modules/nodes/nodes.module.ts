import { Module } from '@nestjs/common';
import { AuditModule } from '../audit/audit.module.js';
import { AuthorityModule } from '../authority/authority.module.js';
import { ClustersModule } from '../clusters/clusters.module.js';
import { AccessTokens } from './access-tokens.js';
import { AssertionIds } from './assertion-ids.js';
import { AuthorityReports } from './authority-reports.js';
import { FleetsReadModel } from './fleets.read-model.js';
import { HealthLooksRepository } from './health-looks.repository.js';
import { HealthWatch } from './health-watch.js';
import { HeartbeatFollowers } from './heartbeat-followers.js';
import { HeartbeatsRepository } from './heartbeats.repository.js';
import { HeartbeatsService } from './heartbeats.service.js';
import { IdentityRevocationsController } from './identity-revocations.controller.js';
import { IdentityRevocationsRepository } from './identity-revocations.repository.js';
import { IdentityRevocationsService } from './identity-revocations.service.js';
import { IdentityRotationController } from './identity-rotation.controller.js';
import { IdentityRotationRepository } from './identity-rotation.repository.js';
import { IdentityRotationService } from './identity-rotation.service.js';
import { MembershipsReadModel } from './memberships.read-model.js';
import { MembershipsRepository } from './memberships.repository.js';
import { MembershipsService } from './memberships.service.js';
import { NodeSnapshotSource } from './node.snapshot-source.js';
import { NodeAgentsController } from './node-agents.controller.js';
import { NodeAuthenticator } from './node-authenticator.js';
import { NodeFacets } from './node-facets.js';
import { NodeGroupsController } from './node-groups.controller.js';
import { NodeGroupsRepository } from './node-groups.repository.js';
import { NodeGroupsService } from './node-groups.service.js';
import { NodeHistoryController } from './node-history.controller.js';
import { NodeHistoryService } from './node-history.service.js';
import { NodeIdentities } from './node-identities.js';
import { NodeSelections } from './node-selections.js';
import { NodeStates } from './node-states.js';
import { NodeStatesRepository } from './node-states.repository.js';
import { NodeTokensController } from './node-tokens.controller.js';
import { NodeTokensService } from './node-tokens.service.js';
import { NodesController } from './nodes.controller.js';
import { NodesReadModel } from './nodes.read-model.js';
import { NodesService } from './nodes.service.js';
import { PartitionEvidenceRepository } from './partition-evidence.repository.js';
import { PartitionWatch } from './partition-watch.js';
import { PlatformKeys } from './platform-keys.js';
import { PlatformNodesController } from './platform-nodes.controller.js';
import { PlatformNodesRepository } from './platform-nodes.repository.js';
import { PlatformNodesService } from './platform-nodes.service.js';
import { ReportMarks } from './report-marks.js';
import { RiskyStatesController } from './risky-states.controller.js';
import { RiskyStatesRepository } from './risky-states.repository.js';
import { RiskyStatesService } from './risky-states.service.js';
import { TermClaims } from './term-claims.js';

@Module({
  imports: [AuditModule, AuthorityModule, ClustersModule],
  controllers: [
    NodesController,
    NodeHistoryController,
    RiskyStatesController,
    NodeGroupsController,
    PlatformNodesController,
    NodeAgentsController,
    IdentityRevocationsController,
    IdentityRotationController,
    NodeTokensController,
  ],
  providers: [
    AccessTokens,
    AssertionIds,
    AuthorityReports,
    FleetsReadModel,
    HealthLooksRepository,
    HealthWatch,
    HeartbeatFollowers,
    HeartbeatsRepository,
    HeartbeatsService,
    IdentityRevocationsRepository,
    IdentityRevocationsService,
    IdentityRotationRepository,
    IdentityRotationService,
    MembershipsReadModel,
    MembershipsRepository,
    MembershipsService,
    NodeAuthenticator,
    NodeFacets,
    NodeGroupsRepository,
    NodeGroupsService,
    NodeHistoryService,
    NodeIdentities,
    NodeSelections,
    NodeStates,
    NodeStatesRepository,
    NodeSnapshotSource,
    NodeTokensService,
    NodesReadModel,
    NodesService,
    PartitionEvidenceRepository,
    PartitionWatch,
    PlatformKeys,
    PlatformNodesRepository,
    PlatformNodesService,
    ReportMarks,
    RiskyStatesRepository,
    RiskyStatesService,
    TermClaims,
  ],
  exports: [
    AssertionIds,
    FleetsReadModel,
    HeartbeatFollowers,
    MembershipsReadModel,
    MembershipsService,
    NodeAuthenticator,
    NodeFacets,
    NodeIdentities,
    NodeSelections,
    NodeStates,
    NodesReadModel,
    PlatformNodesService,
    ReportMarks,
  ],
})
export class NodesModule {}
