import {
  type BeforeApplicationShutdown,
  Inject,
  Injectable,
  type OnApplicationBootstrap,
} from '@nestjs/common';
import type { Logger } from 'pino';
import { Gauge } from 'prom-client';
import { LOGGER } from '../observability/logger.js';
import { Metrics } from '../observability/metrics.js';
import { type PartState, Readiness } from '../observability/readiness.js';
import { Database } from './database.js';
import { sql } from './sql.js';

/** Between two looks of one instance. What the clock showed since the last one is what a step back can undo. */
const EVERY_MS = 1_000;
/** An advance by less is left to the next look, so that many instances together write about once a second. */
const ADVANCE_SECONDS = 0.5;
/** Servers that take turns as the primary differ by milliseconds; more than this is a clock that is wrong. */
const TOLERATED_SECONDS = 1;

/**
 * Keeps the highest time that the database's clock has shown. Everything that decides by time reads `fabric_now()`, in
 * a transaction `tx.now` and `tx.clock()`: the clock, or the recorded time while the clock is behind it. So a clock
 * that steps back, or a promoted standby whose clock is behind, revives nothing that was over and shortens nothing;
 * time stands still until the clock has caught up, and then nothing expires, hence the alarm.
 *
 * The record is at most about a second old, since an advance in each transaction would make all of them wait for one
 * row. What must hold to the millisecond therefore also stands in a row of its own: whoever finds a lease over writes
 * down that it is over, and no renewal moves an expiry to an earlier time.
 */
@Injectable()
export class RecordedTime implements OnApplicationBootstrap, BeforeApplicationShutdown {
  private timer: NodeJS.Timeout | undefined;
  private looking: Promise<void> | null = null;
  private behindSeconds = 0;
  private isAlarmed = false;

  constructor(
    private readonly database: Database,
    @Inject(LOGGER) private readonly logger: Logger,
    readiness: Readiness,
    metrics: Metrics,
  ) {
    readiness.add('clock', () => this.state());
    const behind: Gauge = new Gauge({
      name: 'fabric_database_clock_behind_seconds',
      help: "How far the database's clock is behind the highest time that it has shown; nothing expires meanwhile.",
      registers: [metrics.registry],
      collect: () => behind.set(this.behindSeconds),
    });
  }

  async onApplicationBootstrap(): Promise<void> {
    await this.look();
    this.timer = setInterval(() => void this.look(), EVERY_MS).unref();
  }

  async beforeApplicationShutdown(): Promise<void> {
    clearInterval(this.timer);
    await this.looking;
  }

  /** Advances the record where that is due, and raises the alarm where the clock is behind it. Never throws. */
  look(): Promise<void> {
    this.looking ??= this.advance()
      .then(
        (seconds) => this.note(seconds),
        // Without the database there is nothing to decide either; its own part of the readiness says so.
        () => undefined,
      )
      .finally(() => {
        this.looking = null;
      });
    return this.looking;
  }

  private async state(): Promise<PartState> {
    // What an earlier look has seen must not be noted after this one, as an alarm about what is over.
    await this.looking;
    this.note(await this.behind());
    if (this.behindSeconds <= TOLERATED_SECONDS) return { ok: true };
    const seconds = Math.round(this.behindSeconds);
    return {
      ok: false,
      detail: `the database's clock went back by ${seconds} s; nothing expires until it has caught up`,
    };
  }

  /** Another instance that is at it has done what is needed; nobody waits. @returns seconds behind the record, or 0 */
  private async advance(): Promise<number> {
    const advanced = await this.database.query(sql`
      WITH due AS (
        SELECT c.singleton FROM database_clock AS c
         WHERE c.recorded_at < clock_timestamp() - make_interval(secs => ${ADVANCE_SECONDS}) FOR UPDATE SKIP LOCKED)
      UPDATE database_clock AS c
         SET recorded_at = greatest(c.recorded_at, date_trunc('milliseconds', clock_timestamp()))
        FROM due WHERE c.singleton = due.singleton RETURNING c.recorded_at`);
    return advanced.length > 0 ? 0 : this.behind();
  }

  private async behind(): Promise<number> {
    const [row] = await this.database.query<{ seconds: number }>(sql`
      SELECT greatest(0, extract(epoch FROM c.recorded_at - clock_timestamp()))::float8 AS seconds
        FROM database_clock AS c`);
    if (row === undefined) throw new Error('the database has no recorded time');
    return row.seconds;
  }

  private note(behindSeconds: number): void {
    this.behindSeconds = behindSeconds;
    const isBehind = behindSeconds > TOLERATED_SECONDS;
    if (isBehind === this.isAlarmed) return;
    this.isAlarmed = isBehind;
    if (isBehind)
      this.logger.error(
        { behindSeconds },
        "clock: the database's clock went back, nothing expires until it is right",
      );
    else this.logger.info("clock: the database's clock has caught up");
  }
}
