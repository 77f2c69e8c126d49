import type { Database } from '../database/database.js';
import { sql } from '../database/sql.js';
import type { Tx } from '../transaction/tx.js';

/** Of a transaction that had ended before any of this server began. */
const BEFORE_ALL = '0';
/** Far more changes than any lost end of a log can hold; of such jumps 10^6 fit into the ids of events. */
const JUMP = 1_000_000_000;

/**
 * Takes in what the feed holds of another server. A server that was restored from a dump counts its transactions anew:
 * rows with ids that it has yet to give would be read again and again, and not be numbered before it has given them.
 * All of them are committed, so that they count as older than everything. Finds nothing on any other server.
 */
export async function adoptForeignRows(database: Database): Promise<void> {
  await database.query(sql`
    UPDATE change_feed AS f SET xid = ${BEFORE_ALL}::xid8 WHERE f.xid >= pg_snapshot_xmax(pg_current_snapshot())`);
}

/**
 * Sets the places of the feed forward and declares all before them pruned. After a promotion or a restore the last
 * places that were given may be missing here, and would be given again to other changes: a follower with an old cursor
 * would miss those and never know. This way each gets a `reset`.
 */
export async function jumpPositions(tx: Tx): Promise<void> {
  await tx.query(sql`
    UPDATE change_feed_sequencer AS s
       SET last_position = s.last_position + ${JUMP}::bigint, pruned_through = s.last_position + ${JUMP}::bigint`);
}
