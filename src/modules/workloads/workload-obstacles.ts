import { Injectable } from '@nestjs/common';
import type { ReadTx } from '../../common/transaction/tx.js';
import { RoleBearers } from '../roles/role-bearers.js';
import { RolesReadModel } from '../roles/roles.read-model.js';
import { type WorkloadObstacle, workloadObstacle } from './workload-cover.js';

/** Says why nodes may not run workloads now. */
@Injectable()
export class WorkloadObstacles {
  constructor(
    private readonly bearers: RoleBearers,
    private readonly roles: RolesReadModel,
  ) {}

  /** For these nodes, read together; null where nothing is in the way. */
  async among(
    tx: ReadTx,
    clusterId: string,
    nodeIds: readonly string[],
  ): Promise<(nodeId: string, serviceType: string) => WorkloadObstacle | null> {
    const ids = [...new Set(nodeIds)];
    const bearer = await this.bearers.of(tx, clusterId, ids);
    const grants = await this.roles.forNodes(tx, clusterId, ids);
    return (nodeId, serviceType) =>
      workloadObstacle(serviceType, grants.get(nodeId) ?? [], bearer(nodeId), tx.now);
  }
}
