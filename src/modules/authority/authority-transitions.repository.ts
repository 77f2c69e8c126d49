import { Injectable } from '@nestjs/common';
import { sql } from '../../common/database/sql.js';
import type { Tx } from '../../common/transaction/tx.js';
import type { Authority } from './authority.js';
import { AUTHORITY_COLUMNS } from './authority.sql.js';

@Injectable()
export class AuthorityTransitionsRepository {
  /** Locks the authority: waits for every transaction that spreads trust under it, and keeps new ones waiting. */
  async lock(tx: Tx, clusterId: string): Promise<Authority | null> {
    const [row] = await tx.query<Authority>(sql`
      SELECT ${AUTHORITY_COLUMNS} FROM cluster_authorities AS a WHERE a.cluster_id = ${clusterId}::uuid FOR UPDATE`);
    return row ?? null;
  }

  async move(
    tx: Tx,
    { clusterId }: Authority,
    { state, term }: Pick<Authority, 'state' | 'term'>,
  ): Promise<Authority> {
    const [row] = await tx.query<Authority>(sql`
      UPDATE cluster_authorities AS a SET state = ${state}, term = ${term}, since = ${tx.now}
       WHERE a.cluster_id = ${clusterId}::uuid RETURNING ${AUTHORITY_COLUMNS}`);
    if (row === undefined) throw new Error('the authority was not moved');
    return row;
  }
}
