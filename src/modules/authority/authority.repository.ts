import { Injectable } from '@nestjs/common';
import { sql } from '../../common/database/sql.js';
import type { ReadTx, Tx } from '../../common/transaction/tx.js';
import type { Authority } from './authority.js';

/** A cluster that cannot be archived while the transaction lasts. */
export interface HeldCluster {
  status: 'active' | 'archived';
  state: Authority['state'];
}

@Injectable()
export class AuthorityRepository {
  async insert(tx: Tx, clusterId: string, holder: string): Promise<Authority> {
    const [row] = await tx.query<Authority>(sql`
      INSERT INTO cluster_authorities AS a (cluster_id, holder, since) VALUES (${clusterId}::uuid, ${holder}, ${tx.now})
      RETURNING a.cluster_id AS "clusterId", a.state, a.term, a.holder, a.since`);
    if (row === undefined) throw new Error('the authority was not written');
    return row;
  }

  async list(tx: ReadTx, clusterIds: readonly string[]): Promise<Authority[]> {
    return tx.query<Authority>(sql`
      SELECT a.cluster_id AS "clusterId", a.state, a.term, a.holder, a.since
        FROM cluster_authorities AS a WHERE a.cluster_id = ANY(${clusterIds}::uuid[])`);
  }

  /**
   * Keeps the cluster from being archived, and its authority from changing, until the transaction ends.
   * @param alone wait for all others that hold the cluster, and let none begin
   */
  async hold(tx: Tx, clusterId: string, keepAuthority: boolean, alone = false): Promise<HeldCluster | null> {
    const strength = alone ? sql`FOR UPDATE` : sql`FOR KEY SHARE`;
    const [cluster] = await tx.query<Pick<HeldCluster, 'status'>>(sql`
      SELECT c.status FROM clusters AS c WHERE c.id = ${clusterId}::uuid ${strength}`);
    if (cluster === undefined) return null;
    const lock = keepAuthority ? sql`FOR SHARE` : sql``;
    const [authority] = await tx.query<{ state: Authority['state'] }>(sql`
      SELECT a.state FROM cluster_authorities AS a WHERE a.cluster_id = ${clusterId}::uuid ${lock}`);
    return authority === undefined ? null : { status: cluster.status, state: authority.state };
  }
}
