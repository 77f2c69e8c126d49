import { Module } from '@nestjs/common';
import { NodesModule } from '../nodes/nodes.module.js';
import { RolesModule } from '../roles/roles.module.js';
import { WorkloadAgentsController } from './workload-agents.controller.js';
import { WorkloadFacet } from './workload-facet.js';
import { WorkloadHistoryController } from './workload-history.controller.js';
import { WorkloadHistoryService } from './workload-history.service.js';
import { WorkloadObstacles } from './workload-obstacles.js';
import { WorkloadReportsRepository } from './workload-reports.repository.js';
import { WorkloadReportsService } from './workload-reports.service.js';
import { WorkloadRetention } from './workload-retention.js';
import { WorkloadsController } from './workloads.controller.js';
import { WorkloadsReadModel } from './workloads.read-model.js';
import { WorkloadsRepository } from './workloads.repository.js';
import { WorkloadsService } from './workloads.service.js';
import { WorkloadsSnapshotSource } from './workloads.snapshot-source.js';

@Module({
  imports: [NodesModule, RolesModule],
  controllers: [WorkloadsController, WorkloadHistoryController, WorkloadAgentsController],
  providers: [
    WorkloadFacet,
    WorkloadHistoryService,
    WorkloadObstacles,
    WorkloadReportsRepository,
    WorkloadReportsService,
    WorkloadRetention,
    WorkloadsReadModel,
    WorkloadsRepository,
    WorkloadsService,
    WorkloadsSnapshotSource,
  ],
  exports: [WorkloadsReadModel],
})
export class WorkloadsModule {}
