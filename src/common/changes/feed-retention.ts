import { Injectable, type OnModuleInit } from '@nestjs/common';
import { Database } from '../database/database.js';
import { BATCH_ROWS, removeInBatches } from '../database/remove-in-batches.js';
import { type Sql, sql } from '../database/sql.js';
import { Jobs } from '../jobs/jobs.js';

/** How long a cursor of the event stream stays good. */
const FEED_DAYS = 7;
const EVERY_SECONDS = 3_600;

/**
 * Removes what time has made useless: old rows of the feed, stored answers and assertion ids that have expired. Nothing
 * depends on when it runs: an expired row counts for nothing before it is gone.
 */
@Injectable()
export class FeedRetention implements OnModuleInit {
  constructor(
    private readonly database: Database,
    private readonly jobs: Jobs,
  ) {}

  onModuleInit(): void {
    const job = { queue: 'maintenance', name: 'retention', everySeconds: EVERY_SECONDS };
    this.jobs.define({ ...job, run: () => this.run() });
  }

  private async run(): Promise<void> {
    await removeInBatches(this.database, pruneFeed());
    await removeInBatches(this.database, deleteExpired(sql`idempotency_keys`));
    await removeInBatches(this.database, deleteExpired(sql`used_assertion_ids`));
  }
}

/**
 * Removes rows from the front, and only up to the first that is to be kept: begin times do not grow with positions,
 * and a hole would be taken for the end of what was pruned.
 */
function pruneFeed(): Sql {
  return sql`
    WITH front AS (
      SELECT f.id, bool_and(f.occurred_at < now() - make_interval(days => ${FEED_DAYS})) OVER (ORDER BY f.position) AS old
        FROM change_feed AS f WHERE f.position IS NOT NULL ORDER BY f.position LIMIT ${BATCH_ROWS}
    ), removed AS (
      DELETE FROM change_feed AS f USING front WHERE f.id = front.id AND front.old RETURNING f.position
    ), counted AS (
      SELECT count(*)::int AS rows, max(r.position) AS through FROM removed AS r
    )
    UPDATE change_feed_sequencer AS s SET pruned_through = greatest(s.pruned_through, c.through)
      FROM counted AS c WHERE c.rows > 0
    RETURNING c.rows`;
}

function deleteExpired(table: Sql): Sql {
  return sql`
    WITH removed AS (
      DELETE FROM ${table} AS t
       WHERE t.ctid = ANY(ARRAY(SELECT e.ctid FROM ${table} AS e WHERE e.expires_at < now() LIMIT ${BATCH_ROWS}))
      RETURNING 1
    )
    SELECT count(*)::int AS rows FROM removed`;
}
