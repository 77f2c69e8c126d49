import { type DynamicModule, Global, Module } from '@nestjs/common';
import { CLUSTER_RESOLVER } from './common/auth/cluster-resolver.js';
import { CommonModule } from './common/common.module.js';
import type { Runtime } from './common/config/runtime.js';
import { SNAPSHOT_PORT, TRANSACTION_GATE } from './common/transaction/ports.js';
import { JWKS_PROVIDER } from './common/trust/ports.js';
import { AccessModule } from './modules/access/access.module.js';
import { AuditModule } from './modules/audit/audit.module.js';
import { AuthorityGate } from './modules/authority/authority.gate.js';
import { AuthorityModule } from './modules/authority/authority.module.js';
import { ClusterDirectory } from './modules/clusters/cluster-directory.js';
import { ClusterKeys } from './modules/clusters/cluster-keys.js';
import { ClustersModule } from './modules/clusters/clusters.module.js';
import { EnrollmentModule } from './modules/enrollment/enrollment.module.js';
import { NodesModule } from './modules/nodes/nodes.module.js';
import { OverviewModule } from './modules/overview/overview.module.js';
import { ReleasesModule } from './modules/releases/releases.module.js';
import { RolesModule } from './modules/roles/roles.module.js';
import { RolloutsModule } from './modules/rollouts/rollouts.module.js';
import { SnapshotSettler } from './modules/snapshots/snapshot-settler.js';
import { SnapshotsModule } from './modules/snapshots/snapshots.module.js';
import { TrustModule } from './modules/trust/trust.module.js';
import { UpdateCachesModule } from './modules/update-caches/update-caches.module.js';
import { VpnModule } from './modules/vpn/vpn.module.js';
import { WorkloadsModule } from './modules/workloads/workloads.module.js';

/** Binds the ports of `common` to the modules that fill them. */
@Global()
@Module({
  imports: [AuthorityModule, ClustersModule, SnapshotsModule],
  providers: [
    { provide: SNAPSHOT_PORT, useExisting: SnapshotSettler },
    { provide: TRANSACTION_GATE, useExisting: AuthorityGate },
    { provide: CLUSTER_RESOLVER, useExisting: ClusterDirectory },
    { provide: JWKS_PROVIDER, useExisting: ClusterKeys },
  ],
  exports: [SNAPSHOT_PORT, TRANSACTION_GATE, CLUSTER_RESOLVER, JWKS_PROVIDER],
})
class PortsModule {}

/** The list of modules, nothing else. */
@Module({})
export class AppModule {
  static forRuntime(runtime: Runtime): DynamicModule {
    return {
      module: AppModule,
      imports: [
        CommonModule.forRuntime(runtime),
        PortsModule,
        AuditModule,
        AccessModule,
        AuthorityModule,
        ClustersModule,
        NodesModule,
        RolesModule,
        TrustModule,
        EnrollmentModule,
        VpnModule,
        WorkloadsModule,
        ReleasesModule,
        RolloutsModule,
        UpdateCachesModule,
        SnapshotsModule,
        OverviewModule,
      ],
    };
  }
}
