import { Injectable, type OnModuleInit } from '@nestjs/common';
import { sql } from '../../common/database/sql.js';
import { NodeFacets } from '../nodes/node-facets.js';
import { ROLE_CATALOGUE, ROLE_NAMES } from './role-catalogue.js';

const REQUIRED = JSON.stringify(
  Object.fromEntries(ROLE_NAMES.map((name) => [name, ROLE_CATALOGUE[name].requiredCapabilities])),
);

/** Shows each node's effective roles in lists of nodes: `ineffectiveReason` said in SQL, at the database's instant. */
@Injectable()
export class RoleFacet implements OnModuleInit {
  constructor(private readonly facets: NodeFacets) {}

  onModuleInit(): void {
    this.facets.setRoles(sql`ARRAY(
      SELECT DISTINCT r.role FROM node_role_assignments AS r
       WHERE r.cluster_id = m.cluster_id AND r.node_id = m.node_id AND r.status = 'active'
         AND m.membership_status = 'active'
         AND (r.valid_from IS NULL OR r.valid_from <= now()) AND (r.valid_until IS NULL OR r.valid_until > now())
         AND NOT EXISTS (
           SELECT 1 FROM jsonb_array_elements_text(${REQUIRED}::jsonb -> r.role) AS needed (capability)
            WHERE needed.capability <> ALL (m.capabilities)
               OR coalesce(p.capability_policy -> 'denied', '[]'::jsonb) @> to_jsonb(needed.capability))
       ORDER BY r.role)`);
  }
}
