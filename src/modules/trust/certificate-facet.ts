import { Injectable, type OnModuleInit } from '@nestjs/common';
import { sql } from '../../common/database/sql.js';
import { NodeFacets } from '../nodes/node-facets.js';

/**
 * Shows as a risky state that an active node let its last certificate expire, or lost it with the key that had asked
 * for it; one that never had any is at no risk. And tells until when the last one is good: not at all when it was
 * revoked, or when its authority is not trusted any more.
 */
@Injectable()
export class CertificateFacet implements OnModuleInit {
  constructor(private readonly facets: NodeFacets) {}

  onModuleInit(): void {
    this.facets.setCertificateEnd(sql`(
      SELECT CASE WHEN n.revoked_at IS NULL AND k.phase <> 'retired' THEN n.not_after END
        FROM node_certificates AS n JOIN cluster_keys AS k ON k.cluster_id = n.cluster_id AND k.kid = n.authority_kid
       WHERE n.cluster_id = m.cluster_id AND n.node_id = m.node_id
       ORDER BY n.issued_at DESC, n.serial DESC LIMIT 1)`);
    this.facets.addRiskyStates(sql`CASE WHEN m.membership_status = 'active' THEN coalesce((
      SELECT CASE WHEN n.revoked_at IS NOT NULL THEN ARRAY['certificate_revoked']
                  WHEN n.not_after <= now() THEN ARRAY['certificate_expired'] END
        FROM node_certificates AS n WHERE n.cluster_id = m.cluster_id AND n.node_id = m.node_id
       ORDER BY n.issued_at DESC, n.serial DESC LIMIT 1), ARRAY[]::text[]) ELSE ARRAY[]::text[] END`);
  }
}
