import { jest } from '@jest/globals';
import type { Session } from '../../src/common/database/session.js';
import { sql } from '../../src/common/database/sql.js';
import { OpenTransaction } from '../../src/common/transaction/open-transaction.js';

/** How many rows of these tables each transaction in `work` reads, whatever for, with plans as large tables get them: small
 *  ones are read from end to end, which says nothing. */
export async function rowsRead(tables: readonly string[], work: () => Promise<unknown>): Promise<number[]> {
  // What a session has told nobody yet of earlier transactions is in it, too.
  const count = async (session: Session): Promise<number> => {
    const [row] = await session.query<{ rows: number }>(sql`
      SELECT sum(coalesce(t.seq_tup_read, 0) + coalesce(t.idx_tup_fetch, 0))::float8 AS rows
        FROM pg_stat_xact_user_tables AS t WHERE t.relname = ANY(${[...tables]}::text[])`);
    return row?.rows ?? 0;
  };
  const before = new Map<Session, number>();
  const read: number[] = [];
  const { begin } = OpenTransaction;
  const { commit } = OpenTransaction.prototype;
  const begun = jest.spyOn(OpenTransaction, 'begin').mockImplementation(async (session, ...more) => {
    const now = await begin(session, ...more);
    for (const way of ['seqscan', 'bitmapscan', 'hashjoin', 'mergejoin'])
      await session.query(sql`SELECT set_config(${`enable_${way}`}, 'off', true) AS set`);
    // Prepared statements have plans from before.
    await session.query(sql`DISCARD PLANS`);
    before.set(session, await count(session));
    return now;
  });
  const committed = jest.spyOn(OpenTransaction.prototype, 'commit').mockImplementation(async function (
    this: OpenTransaction,
  ) {
    const { session } = this.suspended();
    read.push((await count(session)) - (before.get(session) ?? 0));
    return commit.call(this);
  });
  try {
    await work();
  } finally {
    begun.mockRestore();
    committed.mockRestore();
  }
  return read;
}
