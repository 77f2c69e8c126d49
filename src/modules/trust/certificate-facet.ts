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
    this.facets.addRiskyStates({
      kind: sql`CASE WHEN n.revoked_at IS NOT NULL THEN 'certificate_revoked' ELSE 'certificate_expired' END`,
      from: sql`node_certificates AS n`,
      where: sql`m.membership_status = 'active' AND n.cluster_id = m.cluster_id AND n.node_id = m.node_id
        AND (n.revoked_at IS NOT NULL OR n.not_after <= now())
        AND NOT EXISTS (SELECT 1 FROM node_certificates AS later
                         WHERE later.cluster_id = n.cluster_id AND later.node_id = n.node_id
                           AND (later.issued_at, later.serial) > (n.issued_at, n.serial))`,
    });
  }
}
