import { Injectable, type OnModuleInit } from '@nestjs/common';
import { sql } from '../../common/database/sql.js';
import { NodeFacets } from '../nodes/node-facets.js';
import { IS_CAPABILITY_DENIED, IS_CAPABILITY_MISSING } from './roles.sql.js';

/**
 * Shows in lists of nodes which roles each was given: those not disabled, effective or not. And as risky states that an
 * active node cannot act in one of them: it does not report what the role requires, or the cluster's policy denies it.
 * A role whose time has not come yet counts, since it will not work when it has.
 */
@Injectable()
export class RoleFacet implements OnModuleInit {
  constructor(private readonly facets: NodeFacets) {}

  onModuleInit(): void {
    this.facets.setRoles(sql`ARRAY(
      SELECT DISTINCT r.role FROM node_role_assignments AS r
       WHERE r.cluster_id = m.cluster_id AND r.node_id = m.node_id AND r.status = 'active' ORDER BY r.role)`);
    this.facets.addRiskyStates({
      kind: sql`unnest(array_remove(ARRAY[CASE WHEN ${IS_CAPABILITY_DENIED} THEN 'role_capability_denied' END,
                                          CASE WHEN ${IS_CAPABILITY_MISSING} THEN 'role_capability_missing' END], NULL))`,
      from: sql`node_role_assignments AS r`,
      where: sql`r.cluster_id = m.cluster_id AND r.node_id = m.node_id AND r.status = 'active'
        AND m.membership_status = 'active' AND (r.valid_until IS NULL OR r.valid_until > now())
        AND (${IS_CAPABILITY_DENIED} OR ${IS_CAPABILITY_MISSING})`,
    });
  }
}
