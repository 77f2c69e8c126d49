import { type BeforeApplicationShutdown, Injectable, type OnApplicationBootstrap } from '@nestjs/common';
import { Database } from './database.js';
import { sql } from './sql.js';

const SYNC_MS = 10_000;

/**
 * The database's clock without a query: this process's monotonic clock plus a measured offset. For instants that must
 * be about equal on every instance; what is decided in a transaction reads the clock there.
 */
@Injectable()
export class DatabaseClock implements OnApplicationBootstrap, BeforeApplicationShutdown {
  private offsetMs = Date.now() - performance.now();
  private timer: NodeJS.Timeout | undefined;

  constructor(private readonly database: Database) {}

  async onApplicationBootstrap(): Promise<void> {
    await this.sync().catch(() => undefined);
    this.timer = setInterval(() => void this.sync().catch(() => undefined), SYNC_MS).unref();
  }

  beforeApplicationShutdown(): void {
    clearInterval(this.timer);
  }

  now(): Date {
    return new Date(performance.now() + this.offsetMs);
  }

  private async sync(): Promise<void> {
    const asked = performance.now();
    const [row] = await this.database.query<{ now: Date }>(sql`SELECT clock_timestamp() AS now`);
    const answered = performance.now();
    // The answer was true about half way between question and arrival.
    if (row !== undefined) this.offsetMs = row.now.getTime() - (asked + answered) / 2;
  }
}
