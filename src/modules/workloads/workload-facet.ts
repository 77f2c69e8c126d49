import { Injectable, type OnModuleInit } from '@nestjs/common';
import { sql } from '../../common/database/sql.js';
import { NodeFacets } from '../nodes/node-facets.js';

/** Shows as a risky state that a workload which should run on an active node has failed or is unhealthy. */
@Injectable()
export class WorkloadFacet implements OnModuleInit {
  constructor(private readonly facets: NodeFacets) {}

  onModuleInit(): void {
    this.facets.addRiskyStates(sql`CASE WHEN m.membership_status = 'active' AND EXISTS (
      SELECT 1 FROM node_service_instances AS w
       WHERE w.cluster_id = m.cluster_id AND w.node_id = m.node_id AND w.is_failed)
      THEN ARRAY['workload_failed'] ELSE ARRAY[]::text[] END`);
  }
}
