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

/** What modules above ask of, and note on, the identity of a node. */
@Injectable()
export class NodeIdentities {
  /** The key by which the node is known now; null when it has none. */
  async key(tx: ReadTx, clusterId: string, nodeId: string): Promise<NodeKey | null> {
    const [row] = await tx.query<{ publicKey: unknown }>(sql`
      SELECT i.public_key AS "publicKey" FROM node_identities AS i
       WHERE i.cluster_id = ${clusterId}::uuid AND i.node_id = ${nodeId}::uuid AND i.identity_status = 'active'`);
    return row === undefined ? null : readNodeKey(row.publicKey);
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

  /** Notes the certificate that the node now has on its identity. */
  async noteCertificate(
    tx: Tx,
    clusterId: string,
    nodeId: string,
    { serial, notBefore, notAfter }: LatestCertificate,
  ): Promise<void> {
    await tx.query(sql`
      UPDATE node_identities AS i
         SET certificate_serial = ${serial}, certificate_not_before = ${notBefore}, certificate_not_after = ${notAfter}
       WHERE i.cluster_id = ${clusterId}::uuid AND i.node_id = ${nodeId}::uuid AND i.identity_status = 'active'`);
  }
}
