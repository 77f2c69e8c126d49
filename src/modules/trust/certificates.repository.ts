import { Injectable } from '@nestjs/common';
import { join, type Sql, sql } from '../../common/database/sql.js';
import type { CursorValues } from '../../common/http/cursor.js';
import type { ReadTx, Tx } from '../../common/transaction/tx.js';
import type { CertificateStatus, NodeCertificate } from './certificate.js';

/** Which certificates a list shows. */
export interface CertificateFilter {
  nodeId?: string | undefined;
  status?: CertificateStatus | undefined;
}

const COLUMNS = sql`n.cluster_id AS "clusterId", n.serial, n.node_id AS "nodeId", n.identity_id AS "identityId",
  n.authority_kid AS "authorityKid",
  n.key_thumbprint AS "keyThumbprint", n.issued_at AS "issuedAt", n.not_before AS "notBefore",
  n.not_after AS "notAfter", n.revoked_at AS "revokedAt", n.revocation_reason AS "revocationReason"`;

@Injectable()
export class CertificatesRepository {
  /** Records a certificate; false when its authority was retired since it was signed. */
  async insert(tx: Tx, certificate: NodeCertificate): Promise<boolean> {
    const rows = await tx.query(sql`
      INSERT INTO node_certificates (cluster_id, serial, node_id, identity_id, authority_kid, key_thumbprint, issued_at,
             not_before, not_after)
      SELECT k.cluster_id, ${certificate.serial}, ${certificate.nodeId}::uuid, ${certificate.identityId}::uuid, k.kid,
             ${certificate.keyThumbprint}, ${certificate.issuedAt}, ${certificate.notBefore}, ${certificate.notAfter}
        FROM cluster_keys AS k
       WHERE k.cluster_id = ${certificate.clusterId}::uuid AND k.kid = ${certificate.authorityKid} AND k.phase <> 'retired'
      RETURNING serial`);
    return rows.length === 1;
  }

  /** The certificate that the node was given last; null when it never had one. */
  async latest(tx: ReadTx, clusterId: string, nodeId: string): Promise<NodeCertificate | null> {
    const [row] = await tx.query<NodeCertificate>(sql`
      SELECT ${COLUMNS} FROM node_certificates AS n
       WHERE n.cluster_id = ${clusterId}::uuid AND n.node_id = ${nodeId}::uuid
       ORDER BY n.issued_at DESC, n.serial DESC LIMIT 1`);
    return row ?? null;
  }

  /** Keeps others from taking this key until the transaction ends, and tells whether another node has or had it. */
  async isKeyOfAnother(tx: Tx, keyThumbprint: string, clusterId: string, nodeId: string): Promise<boolean> {
    await tx.query(
      sql`SELECT pg_advisory_xact_lock(hashtextextended(${`certificate-key:${keyThumbprint}`}, 0))::text`,
    );
    const rows = await tx.query(sql`
      SELECT 1 FROM node_certificates AS n
       WHERE n.key_thumbprint = ${keyThumbprint}
         AND (n.cluster_id, n.node_id) <> (${clusterId}::uuid, ${nodeId}::uuid) LIMIT 1`);
    return rows.length > 0;
  }

  /**
   * Ends certificates of a node that are still good, and returns their serials.
   * @param identityIds only those that these identities asked for, and those of which nobody knows; null: all
   */
  async revoke(
    tx: Tx,
    clusterId: string,
    nodeId: string,
    identityIds: readonly string[] | null,
    reason: string,
  ): Promise<string[]> {
    const concerned =
      identityIds === null
        ? sql`true`
        : sql`(n.identity_id IS NULL OR n.identity_id = ANY(${identityIds}::uuid[]))`;
    const rows = await tx.query<{ serial: string }>(sql`
      UPDATE node_certificates AS n SET revoked_at = ${tx.now}, revocation_reason = ${reason}
       WHERE n.cluster_id = ${clusterId}::uuid AND n.node_id = ${nodeId}::uuid AND ${concerned}
         AND n.revoked_at IS NULL AND n.not_after > ${tx.now}
      RETURNING n.serial`);
    return rows.map(({ serial }) => serial).sort();
  }

  /** What a revocation list of the authority names: revoked, and not over at `at`. */
  revoked(
    tx: ReadTx,
    clusterId: string,
    authorityKid: string,
    at: Date,
  ): Promise<{ serial: string; revokedAt: Date }[]> {
    return tx.query(sql`
      SELECT n.serial, n.revoked_at AS "revokedAt" FROM node_certificates AS n
       WHERE n.cluster_id = ${clusterId}::uuid AND n.authority_kid = ${authorityKid}
         AND n.revoked_at IS NOT NULL AND n.not_after > ${at}
       ORDER BY n.serial`);
  }

  /** Newest first; one more than `limit`, so that the page knows whether another follows. */
  async list(
    tx: ReadTx,
    clusterId: string,
    { nodeId, status }: CertificateFilter,
    after: CursorValues | null,
    limit: number,
  ): Promise<NodeCertificate[]> {
    const conditions: Sql[] = [sql`n.cluster_id = ${clusterId}::uuid`];
    if (nodeId !== undefined) conditions.push(sql`n.node_id = ${nodeId}::uuid`);
    if (status !== undefined) conditions.push(statusCondition(status, tx.now));
    if (after !== null)
      conditions.push(sql`(n.issued_at, n.serial) < (${after[0]}::timestamptz, ${after[1]})`);
    return tx.query<NodeCertificate>(sql`
      SELECT ${COLUMNS} FROM node_certificates AS n WHERE ${join(conditions, ' AND ')}
       ORDER BY n.issued_at DESC, n.serial DESC LIMIT ${limit + 1}`);
  }
}

/** The same rule as `certificateStatus`. */
function statusCondition(status: CertificateStatus, now: Date): Sql {
  if (status === 'revoked') return sql`n.revoked_at IS NOT NULL`;
  return status === 'expired'
    ? sql`(n.revoked_at IS NULL AND n.not_after <= ${now})`
    : sql`(n.revoked_at IS NULL AND n.not_after > ${now})`;
}
