import { Module } from '@nestjs/common';
import { AuthorityModule } from '../authority/authority.module.js';
import { ClustersModule } from '../clusters/clusters.module.js';
import { EnrollmentModule } from '../enrollment/enrollment.module.js';
import { NodesModule } from '../nodes/nodes.module.js';
import { RolesModule } from '../roles/roles.module.js';
import { RolloutsModule } from '../rollouts/rollouts.module.js';
import { VpnModule } from '../vpn/vpn.module.js';
import { WorkloadsModule } from '../workloads/workloads.module.js';
import { OverviewController } from './overview.controller.js';
import { OverviewService } from './overview.service.js';

@Module({
  imports: [
    AuthorityModule,
    ClustersModule,
    EnrollmentModule,
    NodesModule,
    RolesModule,
    RolloutsModule,
    VpnModule,
    WorkloadsModule,
  ],
  controllers: [OverviewController],
  providers: [OverviewService],
})
export class OverviewModule {}
