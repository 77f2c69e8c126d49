import { Module } from '@nestjs/common';
import { AuthorityModule } from '../authority/authority.module.js';
import { ClustersModule } from '../clusters/clusters.module.js';
import { NodesModule } from '../nodes/nodes.module.js';
import { RolesModule } from '../roles/roles.module.js';
import { AcquireGrounds } from './acquire-grounds.js';
import { AssignmentsController } from './assignments.controller.js';
import { AssignmentsRepository } from './assignments.repository.js';
import { AssignmentsService } from './assignments.service.js';
import { LeaseAcquiresService } from './lease-acquires.service.js';
import { LeaseEvacuations } from './lease-evacuations.service.js';
import { LeaseExpiry } from './lease-expiry.js';
import { LeaseFailback } from './lease-failback.js';
import { LeaseFencesService } from './lease-fences.service.js';
import { LeaseGrants } from './lease-grants.js';
import { LeaseHandoversService } from './lease-handovers.service.js';
import { LeaseKeeper } from './lease-keeper.js';
import { LeaseLapses } from './lease-lapses.js';
import { LeaseLapsesRepository } from './lease-lapses.repository.js';
import { LeasePrecedence } from './lease-precedence.js';
import { LeaseReleasesService } from './lease-releases.service.js';
import { LeaseRenewals } from './lease-renewals.service.js';
import { LeaseStandingsRepository } from './lease-standings.repository.js';
import { LeaseTransactions } from './lease-transactions.js';
import { LeasesRepository } from './leases.repository.js';
import { LeasesService } from './leases.service.js';
import { NodeAssignmentsController } from './node-assignments.controller.js';
import { NodeLeasesController } from './node-leases.controller.js';
import { VpnReadModel } from './vpn.read-model.js';
import { VpnSnapshotSource } from './vpn.snapshot-source.js';
import { VpnCandidates } from './vpn-candidates.js';
import { VpnConnectionsController } from './vpn-connections.controller.js';
import { VpnConnectionsRepository } from './vpn-connections.repository.js';
import { VpnConnectionsService } from './vpn-connections.service.js';
import { VpnLeasesController } from './vpn-leases.controller.js';

@Module({
  imports: [AuthorityModule, ClustersModule, NodesModule, RolesModule],
  controllers: [
    VpnConnectionsController,
    VpnLeasesController,
    AssignmentsController,
    NodeLeasesController,
    NodeAssignmentsController,
  ],
  providers: [
    AcquireGrounds,
    AssignmentsRepository,
    AssignmentsService,
    LeaseAcquiresService,
    LeaseEvacuations,
    LeaseExpiry,
    LeaseFailback,
    LeaseFencesService,
    LeaseGrants,
    LeaseHandoversService,
    LeaseKeeper,
    LeaseLapses,
    LeaseLapsesRepository,
    LeasePrecedence,
    LeaseReleasesService,
    LeaseRenewals,
    LeaseTransactions,
    LeaseStandingsRepository,
    LeasesRepository,
    LeasesService,
    VpnCandidates,
    VpnConnectionsRepository,
    VpnConnectionsService,
    VpnReadModel,
    VpnSnapshotSource,
  ],
  exports: [LeaseEvacuations, VpnReadModel],
})
export class VpnModule {}
