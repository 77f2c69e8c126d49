import { Injectable } from '@nestjs/common';
import { sql } from '../../common/database/sql.js';
import type { ReadTx, Tx } from '../../common/transaction/tx.js';
import type { Membership } from './membership.js';
import type { NodeIdentity } from './node-identity.js';
import type { NodeKey } from './node-key.js';

/** The key by which a node is known, and the one before it, unless that was revoked. */
export interface CurrentIdentity {
  active: NodeIdentity;
  previous: NodeIdentity | null;
}

@Injectable()
export class IdentityRotationRepository {
  /** Read it with the membership locked: rotations and revocations take that lock. */
  async current(tx: ReadTx, { clusterId, nodeId }: Membership): Promise<CurrentIdentity | null> {
    const rows = await tx.query<NodeIdentity>(sql`
      WITH current AS (
        SELECT i.id, i.rotated_from FROM node_identities AS i
         WHERE i.cluster_id = ${clusterId}::uuid AND i.node_id = ${nodeId}::uuid AND i.identity_status = 'active')
      SELECT i.id, i.public_key AS "publicKey", i.key_thumbprint AS "keyThumbprint",
             i.identity_status AS "identityStatus", i.valid_until AS "validUntil", i.rotated_from AS "rotatedFrom"
        FROM node_identities AS i JOIN current AS c ON i.id = c.id OR i.id = c.rotated_from`);
    const active = rows.find((row) => row.identityStatus === 'active');
    if (active === undefined) return null;
    return { active, previous: rows.find((row) => row.identityStatus === 'rotated') ?? null };
  }

  /** Puts the new key in the place of the active one, which works on until `validUntil`. The node keeps its certificate. */
  async rotate(
    tx: Tx,
    { clusterId, nodeId }: Membership,
    active: NodeIdentity,
    newKey: NodeKey,
    { now, validUntil }: { now: Date; validUntil: Date },
  ): Promise<void> {
    await tx.query(sql`
      UPDATE node_identities AS i
         SET identity_status = 'rotated', rotated_at = ${now}, valid_until = ${validUntil}
       WHERE i.id = ${active.id}::uuid AND i.identity_status = 'active'`);
    await tx.query(sql`
      INSERT INTO node_identities (id, cluster_id, node_id, public_key, key_thumbprint, created_at, rotated_from,
             certificate_serial, certificate_not_before, certificate_not_after, certificate_revoked_at)
      SELECT ${tx.newId()}::uuid, ${clusterId}::uuid, ${nodeId}::uuid, ${JSON.stringify(newKey.jwk)}::jsonb,
             ${newKey.thumbprint}, ${now}, i.id, i.certificate_serial, i.certificate_not_before,
             i.certificate_not_after, i.certificate_revoked_at
        FROM node_identities AS i WHERE i.id = ${active.id}::uuid`);
  }
}
