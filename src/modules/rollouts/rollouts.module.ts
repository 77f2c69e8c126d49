import { Module, type OnModuleInit } from '@nestjs/common';
import { ClustersModule } from '../clusters/clusters.module.js';
import { NodesModule } from '../nodes/nodes.module.js';
import { AssignedArtifacts } from '../releases/assigned-artifacts.js';
import { ReleasesModule } from '../releases/releases.module.js';
import { VpnModule } from '../vpn/vpn.module.js';
import { WorkloadsModule } from '../workloads/workloads.module.js';
import { Absences } from './absences.js';
import { AssignmentCountsRepository } from './assignment-counts.repository.js';
import { AssignmentsRepository } from './assignments.repository.js';
import { DecisionsRepository } from './decisions.repository.js';
import { EmergencyHolds } from './emergency-holds.js';
import { EmergencyPinEnds } from './emergency-pin-ends.js';
import { EmergencyPinViews } from './emergency-pin-views.js';
import { EmergencyPinsController } from './emergency-pins.controller.js';
import { EmergencyPinsRepository } from './emergency-pins.repository.js';
import { EmergencyPinsService } from './emergency-pins.service.js';
import { EmergencyWaysRepository } from './emergency-ways.repository.js';
import { ROLLOUT_RULES, RULES } from './engine/rules.js';
import { LeaseCare } from './lease-care.js';
import { LeaseHandovers } from './lease-handovers.js';
import { LeaseWaitsRepository } from './lease-waits.repository.js';
import { NewWays } from './new-ways.js';
import { NodeDecisionsService } from './node-decisions.service.js';
import { NodeVersionsController } from './node-versions.controller.js';
import { NodeVersionsRepository } from './node-versions.repository.js';
import { Offers } from './offers.js';
import { PinMoves } from './pin-moves.js';
import { PinnableReleases } from './pinnable-releases.js';
import { RefusedStarts } from './refused-starts.js';
import { RolloutApprovals } from './rollout-approvals.js';
import { RolloutCourses } from './rollout-courses.js';
import { RolloutDecisionsController } from './rollout-decisions.controller.js';
import { RolloutDecisionsService } from './rollout-decisions.service.js';
import { RolloutDrafts } from './rollout-drafts.js';
import { RolloutEngine } from './rollout-engine.js';
import { RolloutEvents } from './rollout-events.js';
import { RolloutFactsReader } from './rollout-facts-reader.js';
import { RolloutGoals } from './rollout-goals.js';
import { RolloutMoves } from './rollout-moves.js';
import { RolloutNudges } from './rollout-nudges.js';
import { RolloutPlanner } from './rollout-planner.js';
import { RolloutSteps } from './rollout-steps.js';
import { RolloutStreamController } from './rollout-stream.controller.js';
import { RolloutTicks } from './rollout-ticks.js';
import { RolloutViews } from './rollout-views.js';
import { RolloutsController } from './rollouts.controller.js';
import { RolloutsRepository } from './rollouts.repository.js';
import { RolloutsService } from './rollouts.service.js';
import { RolloutsSnapshotSource } from './rollouts.snapshot-source.js';
import { SlotGrants } from './slot-grants.js';
import { SlotsRepository } from './slots.repository.js';
import { StablePromotions } from './stable-promotions.js';
import { UpdateIntake } from './update-intake.js';
import { UpdateReportsController } from './update-reports.controller.js';
import { UpdateReportsService } from './update-reports.service.js';
import { UpdatesReadModel } from './updates.read-model.js';
import { UpdatesRepository } from './updates.repository.js';
import { VersionExplainer } from './version-explainer.js';
import { VersionPinsRepository } from './version-pins.repository.js';
import { VersionPinsService } from './version-pins.service.js';
import { WaitingNodesRepository } from './waiting-nodes.repository.js';
import { WaveOpenings } from './wave-openings.js';
import { WavesRepository } from './waves.repository.js';
import { WaysBack } from './ways-back.js';

@Module({
  imports: [ClustersModule, NodesModule, ReleasesModule, VpnModule, WorkloadsModule],
  controllers: [
    RolloutsController,
    RolloutDecisionsController,
    UpdateReportsController,
    NodeVersionsController,
    EmergencyPinsController,
    RolloutStreamController,
  ],
  providers: [
    // Of this application alone.
    { provide: ROLLOUT_RULES, useFactory: () => ({ ...RULES }) },
    Absences,
    AssignmentCountsRepository,
    AssignmentsRepository,
    DecisionsRepository,
    EmergencyHolds,
    EmergencyPinEnds,
    EmergencyPinViews,
    EmergencyPinsRepository,
    EmergencyPinsService,
    EmergencyWaysRepository,
    LeaseCare,
    LeaseHandovers,
    LeaseWaitsRepository,
    NewWays,
    NodeDecisionsService,
    NodeVersionsRepository,
    Offers,
    PinMoves,
    PinnableReleases,
    RefusedStarts,
    RolloutApprovals,
    RolloutCourses,
    RolloutDecisionsService,
    RolloutDrafts,
    RolloutEngine,
    RolloutEvents,
    RolloutFactsReader,
    RolloutGoals,
    RolloutMoves,
    RolloutNudges,
    RolloutPlanner,
    RolloutSteps,
    RolloutTicks,
    RolloutViews,
    RolloutsRepository,
    RolloutsService,
    RolloutsSnapshotSource,
    SlotGrants,
    SlotsRepository,
    StablePromotions,
    UpdateIntake,
    UpdateReportsService,
    UpdatesReadModel,
    UpdatesRepository,
    VersionExplainer,
    VersionPinsRepository,
    VersionPinsService,
    WaitingNodesRepository,
    WaveOpenings,
    WavesRepository,
    WaysBack,
  ],
  exports: [UpdatesReadModel],
})
export class RolloutsModule implements OnModuleInit {
  constructor(
    private readonly artifacts: AssignedArtifacts,
    private readonly updates: UpdatesReadModel,
  ) {}

  onModuleInit(): void {
    this.artifacts.add((tx, { clusterId, nodeId }) => this.updates.artifactsOf(tx, clusterId, nodeId));
  }
}
