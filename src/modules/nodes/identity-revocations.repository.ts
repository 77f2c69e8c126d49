import { Injectable } from '@nestjs/common';
import { sql } from '../../common/database/sql.js';
import type { ReadTx, Tx } from '../../common/transaction/tx.js';
import type { Membership } from './membership.js';
import type { NodeIdentity } from './node-identity.js';

@Injectable()
export class IdentityRevocationsRepository {
  /** All that the node has, or had, newest first. Read them with the membership locked: rotations take that lock. */
  list(tx: ReadTx, { clusterId, nodeId }: Membership): Promise<NodeIdentity[]> {
    return tx.query<NodeIdentity>(sql`
      SELECT i.id, i.public_key AS "publicKey", i.key_thumbprint AS "keyThumbprint",
             i.identity_status AS "identityStatus", i.valid_until AS "validUntil", i.rotated_from AS "rotatedFrom"
        FROM node_identities AS i WHERE i.cluster_id = ${clusterId}::uuid AND i.node_id = ${nodeId}::uuid
       ORDER BY i.created_at DESC, i.id DESC`);
  }

  async revoke(tx: Tx, ids: readonly string[]): Promise<void> {
    await tx.query(sql`
      UPDATE node_identities AS i SET identity_status = 'revoked', revoked_at = ${tx.now}
       WHERE i.id = ANY(${ids}::uuid[])`);
  }
}
