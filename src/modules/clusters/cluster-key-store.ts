import { Injectable } from '@nestjs/common';
import type { JWK } from 'jose';
import { sql } from '../../common/database/sql.js';
import type { ReadTx, Tx } from '../../common/transaction/tx.js';

/** What a key of a cluster is for. */
export type KeyPurpose = 'snapshot' | 'ca';

/**
 * Where a key stands: `prepared` is published and signs nothing yet, `active` signs, `superseded` signs no more and
 * what it signed is good, `tainted` the same with all that it signed to be replaced now, `retired` is not trusted.
 */
export type KeyPhase = 'prepared' | 'active' | 'superseded' | 'tainted' | 'retired';

/** A key of a cluster as it is stored. */
export interface ClusterKeyRow {
  kid: string;
  phase: KeyPhase;
  publicJwk: JWK;
  /** By which its signer finds the private part: that part itself, sealed. */
  sealedPrivateKey: Buffer;
  /** PEM; null where the purpose has none. */
  certificate: string | null;
  createdAt: Date;
}

/** The keys of clusters, of every purpose. */
@Injectable()
export class ClusterKeyStore {
  async insert(
    tx: Tx,
    clusterId: string,
    purpose: KeyPurpose,
    key: Omit<ClusterKeyRow, 'createdAt'>,
  ): Promise<void> {
    await tx.query(sql`
      INSERT INTO cluster_keys (kid, cluster_id, purpose, phase, public_jwk, sealed_private_key, certificate, created_at)
      VALUES (${key.kid}, ${clusterId}::uuid, ${purpose}, ${key.phase}, ${JSON.stringify(key.publicJwk)}::jsonb,
              ${key.sealedPrivateKey}, ${key.certificate}, ${tx.now})`);
  }

  /** All keys of a purpose, retired ones included, oldest first. */
  list(tx: Pick<ReadTx, 'query'>, clusterId: string, purpose: KeyPurpose): Promise<ClusterKeyRow[]> {
    return tx.query<ClusterKeyRow>(sql`
      SELECT k.kid, k.phase, k.public_jwk AS "publicJwk", k.sealed_private_key AS "sealedPrivateKey", k.certificate,
             k.created_at AS "createdAt"
        FROM cluster_keys AS k WHERE k.cluster_id = ${clusterId}::uuid AND k.purpose = ${purpose}
       ORDER BY k.created_at, k.kid`);
  }

  async setPhase(tx: Tx, clusterId: string, kid: string, phase: KeyPhase): Promise<void> {
    await tx.query(sql`
      UPDATE cluster_keys AS k SET phase = ${phase} WHERE k.cluster_id = ${clusterId}::uuid AND k.kid = ${kid}`);
  }
}
