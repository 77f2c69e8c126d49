import {
  type BeforeApplicationShutdown,
  Inject,
  Injectable,
  type OnApplicationBootstrap,
} from '@nestjs/common';
import type { Logger } from 'pino';
import { Counter, Gauge } from 'prom-client';
import { Database } from '../database/database.js';
import { isUnavailable } from '../database/postgres-errors.js';
import { LOGGER } from '../observability/logger.js';
import { Metrics } from '../observability/metrics.js';
import { type PartState, Readiness } from '../observability/readiness.js';
import type { FeedChange } from './feed-change.js';
import { type FeedPosition, feedPosition, wentBack } from './feed-position.js';
import { Nudged } from './nudged.js';
import { adoptForeignRows } from './other-server.sql.js';
import { currentState, type FeedPage, firstPage, nextPage } from './reading.sql.js';
import { WAKE_UPS } from './tokens.js';
import type { WakeUps } from './wake-up.js';

/** Rows a page: bounds the memory of one read after a burst. */
const PAGE_ROWS = 5_000;
/** Without a completed read for this long the feed is lost: five ticks of the wake-ups. */
const LOST_AFTER_MS = 5_000;
/** After so long it is cheaper to drop the caches than to read everything that was missed. */
const START_ANEW_AFTER_MS = 10 * 60_000;
/** Between two looks whether this is still the same database: they cost more than the read itself. */
const SERVER_CHECK_MS = 1_000;

/**
 * Reads the change feed for this process, in whatever order the transactions committed: each change is handed over
 * soon after its commit, without waiting for older transactions that are still open. After a failed read changes may
 * come twice, so listeners are idempotent, and a higher revision beats a lower one.
 */
@Injectable()
export class ChangeReader implements OnApplicationBootstrap, BeforeApplicationShutdown {
  private readonly listeners = new Set<(changes: readonly FeedChange[]) => void>();
  private readonly gapListeners = new Set<() => void>();
  private readonly reading = new Nudged(() => this.read());
  private readonly rows: Counter;
  private position: FeedPosition | null = null;
  private server: string | null = null;
  private serverCheckedAt = Number.NEGATIVE_INFINITY;
  /** When the last completed read began; everything committed before it has been handed over. */
  private readAt: number | null = null;
  private isFailing = false;
  private hasLostConnection = false;
  private unsubscribe = () => {};
  private readonly connectionLost = () => {
    this.hasLostConnection = true;
  };

  constructor(
    private readonly database: Database,
    @Inject(WAKE_UPS) private readonly wakeUps: WakeUps,
    @Inject(LOGGER) private readonly logger: Logger,
    readiness: Readiness,
    metrics: Metrics,
  ) {
    readiness.add('feed', async () => this.state());
    const registers = [metrics.registry];
    this.rows = new Counter({
      name: 'fabric_feed_rows_total',
      help: 'Changes that this process has read from the feed.',
      registers,
    });
    const lag: Gauge = new Gauge({
      name: 'fabric_feed_lag_seconds',
      help: 'Age of the newest state of the feed that this process has surely seen.',
      registers,
      collect: () => lag.set(this.lagMs() / 1_000),
    });
  }

  /** Resolves after the first attempt to read; later ones follow in the background. */
  async onApplicationBootstrap(): Promise<void> {
    // A server that is replaced breaks its connections first, the idle ones too.
    this.database.pool.on('error', this.connectionLost);
    this.unsubscribe = this.wakeUps.subscribe(() => this.reading.nudge());
    await this.sync();
  }

  async beforeApplicationShutdown(): Promise<void> {
    this.unsubscribe();
    this.database.pool.off('error', this.connectionLost);
    await this.reading.close();
  }

  /** Hands every change from here on to `listener`, a page at a time. Returns what ends the subscription. */
  subscribe(listener: (changes: readonly FeedChange[]) => void): () => void {
    const entry = (changes: readonly FeedChange[]) => listener(changes);
    this.listeners.add(entry);
    return () => {
      this.listeners.delete(entry);
    };
  }

  /**
   * Calls back when changes may have been missed, at the start too: whatever is remembered is to be dropped, and what
   * is being loaded just now is not to be remembered.
   */
  onGap(listener: () => void): () => void {
    const entry = () => listener();
    this.gapListeners.add(entry);
    return () => {
      this.gapListeners.delete(entry);
    };
  }

  /** Reads now: resolves when everything that was committed before the call has been handed over, or cannot be. */
  sync(): Promise<void> {
    this.reading.nudge();
    return this.reading.settled();
  }

  /** Milliseconds for which changes may have gone unnoticed; infinite before the first read. */
  lagMs(): number {
    return this.readAt === null ? Number.POSITIVE_INFINITY : performance.now() - this.readAt;
  }

  /** False: memory may be behind, so ask the database. */
  isCaughtUp(): boolean {
    return !this.isFailing && this.lagMs() <= LOST_AFTER_MS;
  }

  /** Until when everything has been handed over; null while nothing can be said of the database that answers now. */
  heard(): FeedPosition | null {
    return this.hasLostConnection ? null : this.position;
  }

  private state(): PartState {
    if (this.isCaughtUp()) return { ok: true };
    const seconds = Math.round(this.lagMs() / 1_000);
    return { ok: false, detail: this.readAt === null ? 'not read yet' : `not read for ${seconds} s` };
  }

  private async read(): Promise<void> {
    const startedAt = performance.now();
    try {
      if (this.lagMs() > START_ANEW_AFTER_MS || this.hasLostConnection) this.position = null;
      this.hasLostConnection = false;
      if (this.position === null) await this.startAnew(startedAt);
      else await this.catchUp(this.position, startedAt);
      this.readAt = startedAt;
      this.isFailing = false;
    } catch (error) {
      if (isUnavailable(error)) this.hasLostConnection = true;
      if (!this.isFailing) this.logger.warn({ err: error }, 'feed: cannot be read, caches are not trusted');
      this.isFailing = true;
    }
  }

  private async startAnew(startedAt: number): Promise<void> {
    await adoptForeignRows(this.database);
    const { snapshot, server } = await currentState(this.database);
    this.position = feedPosition(snapshot);
    this.server = server;
    this.serverCheckedAt = startedAt;
    for (const listener of this.gapListeners) this.call(listener);
  }

  private async catchUp(from: FeedPosition, startedAt: number): Promise<void> {
    const checksServer = this.isFailing || startedAt - this.serverCheckedAt >= SERVER_CHECK_MS;
    const first = await firstPage(this.database, from, { limit: PAGE_ROWS, checksServer });
    const reached = feedPosition(first.snapshot);
    if (wentBack(from, reached) || (first.server !== null && first.server !== this.server)) {
      this.logger.warn(
        { from: from.snapshot, now: first.snapshot },
        'feed: this is another database, starting anew',
      );
      return this.startAnew(startedAt);
    }
    if (checksServer) this.serverCheckedAt = startedAt;
    let page: FeedPage = first;
    this.handOver(page.changes);
    while (page.next !== null) {
      page = await nextPage(this.database, from, reached, page.next, PAGE_ROWS);
      this.handOver(page.changes);
    }
    this.position = reached;
  }

  private handOver(changes: readonly FeedChange[]): void {
    if (changes.length === 0) return;
    this.rows.inc(changes.length);
    for (const listener of this.listeners) this.call(() => listener(changes));
  }

  private call(listener: () => void): void {
    try {
      listener();
    } catch (error) {
      this.logger.error({ err: error }, 'feed: a listener failed');
    }
  }
}
