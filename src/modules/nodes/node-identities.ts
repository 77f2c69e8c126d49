import { Injectable } from '@nestjs/common';
import { sql } from '../../common/database/sql.js';
import type { ReadTx, Tx } from '../../common/transaction/tx.js';
import { type NodeKey, readNodeKey } from './node-key.js';

/** The certificate that an identity was given last. */
export interface LatestCertificate {
  serial: string;
  notBefore: Date;
  notAfter: Date;
}

/** An identity with its key. */
export interface KnownIdentity {
  id: string;
  key: NodeKey;
}

/** What modules above ask of, and note on, the identity of a node. */
@Injectable()
export class NodeIdentities {
  /** The one by which the node is known now; null when it has none. */
  async active(tx: Pick<ReadTx, 'query'>, clusterId: string, nodeId: string): Promise<KnownIdentity | null> {
    const [row] = await tx.query<{ id: string; publicKey: unknown }>(sql`
      SELECT i.id, i.public_key AS "publicKey" FROM node_identities AS i
       WHERE i.cluster_id = ${clusterId}::uuid AND i.node_id = ${nodeId}::uuid AND i.identity_status = 'active'`);
    return row === undefined ? null : { id: row.id, key: readNodeKey(row.publicKey) };
  }

  /** Whether one of them was revoked. With the membership locked the answer holds until the transaction ends. */
  async isAnyRevoked(tx: ReadTx, ids: readonly (string | null)[]): Promise<boolean> {
    const rows = await tx.query(sql`
      SELECT i.id FROM node_identities AS i WHERE i.id = ANY(${ids}::uuid[]) AND i.identity_status = 'revoked'`);
    return rows.length > 0;
  }

  /** The keys by which the host is known now, in every cluster of which it is a live member. */
  async keysOfHost(tx: ReadTx, nodeId: string): Promise<{ clusterId: string; key: NodeKey }[]> {
    const rows = await tx.query<{ clusterId: string; publicKey: unknown }>(sql`
      SELECT i.cluster_id AS "clusterId", i.public_key AS "publicKey" FROM node_identities AS i
        JOIN cluster_memberships AS m ON m.cluster_id = i.cluster_id AND m.node_id = i.node_id
       WHERE i.node_id = ${nodeId}::uuid AND i.identity_status = 'active' AND m.membership_status <> 'revoked'
       ORDER BY i.cluster_id`);
    return rows.map(({ clusterId, publicKey }) => ({ clusterId, key: readNodeKey(publicKey) }));
  }

  /** Notes the certificate that the node now has on the identity by which it is known. */
  async noteCertificate(
    tx: Tx,
    clusterId: string,
    nodeId: string,
    { serial, notBefore, notAfter }: LatestCertificate,
  ): Promise<void> {
    await tx.query(sql`
      UPDATE node_identities AS i
         SET certificate_serial = ${serial}, certificate_not_before = ${notBefore}, certificate_not_after = ${notAfter},
             certificate_revoked_at = NULL
       WHERE i.cluster_id = ${clusterId}::uuid AND i.node_id = ${nodeId}::uuid AND i.identity_status = 'active'`);
  }

  /** Notes that certificates were revoked, wherever they are noted. */
  async noteRevoked(tx: Tx, clusterId: string, nodeId: string, serials: readonly string[]): Promise<void> {
    await tx.query(sql`
      UPDATE node_identities AS i SET certificate_revoked_at = ${tx.now}
       WHERE i.cluster_id = ${clusterId}::uuid AND i.node_id = ${nodeId}::uuid
         AND i.certificate_serial = ANY(${serials}::text[])`);
  }
}
