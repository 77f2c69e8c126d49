import { Injectable, type OnModuleInit } from '@nestjs/common';
import { sql } from '../../common/database/sql.js';
import { NodeFacets } from '../nodes/node-facets.js';

/** Shows as a risky state that a workload which should run on an active node has failed or is unhealthy. */
@Injectable()
export class WorkloadFacet implements OnModuleInit {
  constructor(private readonly facets: NodeFacets) {}

  onModuleInit(): void {
    this.facets.addRiskyStates({
      kind: sql`'workload_failed'::text`,
      from: sql`node_service_instances AS w`,
      where: sql`m.membership_status = 'active' AND w.cluster_id = m.cluster_id AND w.node_id = m.node_id AND w.is_failed`,
    });
  }
}
