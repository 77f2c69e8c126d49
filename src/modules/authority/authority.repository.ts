import { Injectable } from '@nestjs/common';
import { sql } from '../../common/database/sql.js';
import type { ReadTx, Tx } from '../../common/transaction/tx.js';
import type { Authority } from './authority.js';
import { AUTHORITY_COLUMNS, TAKEOVERS_HELD_FOR, TAKEOVERS_HELD_UNTIL } from './authority.sql.js';

/** A cluster that cannot be archived while the transaction lasts. */
export interface HeldCluster {
  status: 'active' | 'archived';
  state: Authority['state'];
  /** Asked only where the authority is kept, true otherwise: the database is the server whose terms were raised. */
  isServerKnown: boolean;
}

/** What a grant stands on, unchanged until the transaction ends. */
export type GrantGround = Pick<Authority, 'state' | 'term' | 'takeoversHeldUntil' | 'takeoversHeldFor'> & {
  isServerKnown: boolean;
};

@Injectable()
export class AuthorityRepository {
  async insert(tx: Tx, clusterId: string, holder: string): Promise<Authority> {
    const [row] = await tx.query<Authority>(sql`
      INSERT INTO cluster_authorities AS a (cluster_id, holder, since) VALUES (${clusterId}::uuid, ${holder}, ${tx.now})
      RETURNING ${AUTHORITY_COLUMNS}`);
    if (row === undefined) throw new Error('the authority was not written');
    return row;
  }

  async list(tx: ReadTx, clusterIds: readonly string[]): Promise<Authority[]> {
    return tx.query<Authority>(sql`
      SELECT ${AUTHORITY_COLUMNS} FROM cluster_authorities AS a WHERE a.cluster_id = ANY(${clusterIds}::uuid[])`);
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
    const known = keepAuthority ? sql`fabric_server_is_known()` : sql`true`;
    const [authority] = await tx.query<Omit<HeldCluster, 'status'>>(sql`
      SELECT a.state, ${known} AS "isServerKnown"
        FROM cluster_authorities AS a WHERE a.cluster_id = ${clusterId}::uuid ${lock}`);
    return authority === undefined ? null : { status: cluster.status, ...authority };
  }

  async holdForGrant(tx: Tx, clusterId: string): Promise<GrantGround | null> {
    const [row] = await tx.query<GrantGround>(sql`
      SELECT a.state, a.term, ${TAKEOVERS_HELD_UNTIL} AS "takeoversHeldUntil",
             ${TAKEOVERS_HELD_FOR} AS "takeoversHeldFor", fabric_server_is_known() AS "isServerKnown"
        FROM cluster_authorities AS a WHERE a.cluster_id = ${clusterId}::uuid FOR SHARE`);
    return row ?? null;
  }
}
