import {
  type BeforeApplicationShutdown,
  Inject,
  Injectable,
  type OnApplicationBootstrap,
} from '@nestjs/common';
import type { Logger } from 'pino';
import { Gauge } from 'prom-client';
import { Database } from '../database/database.js';
import { openDirectSession, type Session } from '../database/session.js';
import { sql } from '../database/sql.js';
import { LOGGER } from '../observability/logger.js';
import { Metrics } from '../observability/metrics.js';
import { OpenTransaction } from '../transaction/open-transaction.js';
import { ChangeReader } from './change-reader.js';
import { Nudged } from './nudged.js';
import { WAKE_UPS } from './tokens.js';
import type { WakeUps } from './wake-up.js';

/** Rows numbered in one transaction: a backlog of millions goes in portions that others can follow. */
const BATCH_ROWS = 10_000;
/** Between two runs of one instance: under load rows are numbered in bursts, not one commit each. */
const REST_MS = 20;
const FIRST_XID = '0';

interface Look {
  /** No open transaction can add rows below it. */
  horizon: string;
  /** Whether a row below the horizon has no position. */
  due: boolean;
  /** Age of the oldest row without a position; null when every visible one has its own. */
  waitingSeconds: number | null;
}

/**
 * Gives the rows of the feed their places: dense positions in the order of (xid, id), and only to rows below the
 * horizon, so that none can ever come below one that was given. Runs in every instance; a row lock lets one of them
 * number at a time.
 */
@Injectable()
export class Sequencer implements OnApplicationBootstrap, BeforeApplicationShutdown {
  private readonly numbering = new Nudged(() => this.run(), REST_MS);
  /** Every row below it has a position: keeps the look away from index entries that are dead and not yet vacuumed. */
  private floor = FIRST_XID;
  /** Counts the databases that this has seen: what was learnt of one says nothing about the next. */
  private epoch = 0;
  private waitingSeconds = 0;
  private isFailing = false;
  private unsubscribe: readonly (() => void)[] = [];

  constructor(
    private readonly database: Database,
    private readonly reader: ChangeReader,
    @Inject(WAKE_UPS) private readonly wakeUps: WakeUps,
    @Inject(LOGGER) private readonly logger: Logger,
    metrics: Metrics,
  ) {
    const lag: Gauge = new Gauge({
      name: 'fabric_feed_sequence_lag_seconds',
      help: 'Age of the oldest change that has no place in the ordered feed yet; an open transaction holds it back.',
      registers: [metrics.registry],
      collect: () => lag.set(this.waitingSeconds),
    });
  }

  onApplicationBootstrap(): void {
    this.unsubscribe = [
      this.wakeUps.subscribe(() => this.numbering.nudge()),
      // Another database, or an older copy of this one, counts its transactions anew.
      this.reader.onGap(() => {
        this.floor = FIRST_XID;
        this.epoch += 1;
      }),
    ];
  }

  async beforeApplicationShutdown(): Promise<void> {
    for (const end of this.unsubscribe) end();
    await this.numbering.close();
  }

  /** Numbers what is due now; resolves when this instance has done so, or has found another one at it. */
  sync(): Promise<void> {
    this.numbering.nudge();
    return this.numbering.settled();
  }

  private async run(): Promise<void> {
    try {
      const { floor, epoch } = this;
      const look = await this.look(floor);
      this.waitingSeconds = look.waitingSeconds ?? 0;
      this.isFailing = false;
      if (!look.due) {
        if (this.epoch === epoch) this.floor = look.horizon;
        return;
      }
      const numbered = await this.number(floor);
      if (numbered === 0) return;
      this.wakeUps.announce();
      if (numbered === BATCH_ROWS) this.numbering.nudge();
    } catch (error) {
      if (!this.isFailing) this.logger.warn({ err: error }, 'feed: changes cannot be put in order');
      this.isFailing = true;
    }
  }

  /** One probe of an index, so that instances with nothing to do take no lock and write nothing. */
  private async look(floor: string): Promise<Look> {
    const [look] = await this.database.queryPrepared<Look>(sql`
      SELECT here.horizon::text AS horizon, coalesce(oldest.xid < here.horizon, false) AS due,
             extract(epoch FROM clock_timestamp() - oldest.occurred_at)::float8 AS "waitingSeconds"
        FROM (SELECT pg_snapshot_xmin(pg_current_snapshot()) AS horizon) AS here
        LEFT JOIN (SELECT f.xid, f.occurred_at FROM change_feed AS f
                    WHERE f.position IS NULL AND f.xid >= ${floor}::xid8
                    ORDER BY f.xid, f.id LIMIT 1) AS oldest ON true`);
    if (look === undefined) throw new Error('the database did not tell its state');
    return look;
  }

  /** Numbers one batch. Returns how many rows got a position: none when another instance is at it. */
  private async number(floor: string): Promise<number> {
    const session = await openDirectSession(this.database, 'BEGIN', { prepares: true });
    try {
      await OpenTransaction.begin(session);
      const [turn] = await session.query<{ last: number }>(sql`
        SELECT s.last_position AS last FROM change_feed_sequencer AS s FOR UPDATE SKIP LOCKED`);
      // A statement of its own: that of the lock may still see rows without the positions that the last holder gave.
      const numbered = turn === undefined ? 0 : await this.assign(session, turn.last, floor);
      await session.commit();
      return numbered;
    } catch (error) {
      await session.rollback();
      throw error;
    }
  }

  private async assign(session: Session, last: number, floor: string): Promise<number> {
    const [done] = await session.query<{ numbered: number }>(sql`
      WITH due AS (
        SELECT f.id, row_number() OVER (ORDER BY f.xid, f.id) AS nth
          FROM change_feed AS f
         WHERE f.position IS NULL AND f.xid >= ${floor}::xid8 AND f.xid < pg_snapshot_xmin(pg_current_snapshot())
         ORDER BY f.xid, f.id LIMIT ${BATCH_ROWS}
      ), numbered AS (
        UPDATE change_feed AS f SET position = ${last}::bigint + due.nth FROM due WHERE f.id = due.id
        RETURNING f.position
      )
      UPDATE change_feed_sequencer AS s SET last_position = ${last}::bigint + n.rows
        FROM (SELECT count(*) AS rows FROM numbered) AS n
      RETURNING n.rows::int AS numbered`);
    return done?.numbered ?? 0;
  }
}
