import { Injectable, type OnModuleInit } from '@nestjs/common';
import { sql } from '../../common/database/sql.js';
import { NodeFacets } from '../nodes/node-facets.js';

/** Shows as a risky state that an active node let its last certificate expire. One that never had any is at no risk. */
@Injectable()
export class CertificateFacet implements OnModuleInit {
  constructor(private readonly facets: NodeFacets) {}

  onModuleInit(): void {
    this.facets.addRiskyStates(sql`CASE WHEN m.membership_status = 'active' AND (
      SELECT n.not_after FROM node_certificates AS n WHERE n.cluster_id = m.cluster_id AND n.node_id = m.node_id
       ORDER BY n.issued_at DESC, n.serial DESC LIMIT 1) <= now() THEN ARRAY['certificate_expired'] ELSE ARRAY[]::text[] END`);
  }
}
