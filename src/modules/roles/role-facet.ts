import { Injectable, type OnModuleInit } from '@nestjs/common';
import { sql } from '../../common/database/sql.js';
import { NodeFacets } from '../nodes/node-facets.js';

/** Shows in lists of nodes which roles each was given: those not disabled, effective or not. */
@Injectable()
export class RoleFacet implements OnModuleInit {
  constructor(private readonly facets: NodeFacets) {}

  onModuleInit(): void {
    this.facets.setRoles(sql`ARRAY(
      SELECT DISTINCT r.role FROM node_role_assignments AS r
       WHERE r.cluster_id = m.cluster_id AND r.node_id = m.node_id AND r.status = 'active' ORDER BY r.role)`);
  }
}
