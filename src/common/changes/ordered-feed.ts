import { type BeforeApplicationShutdown, Inject, Injectable } from '@nestjs/common';
import type { Logger } from 'pino';
import { Database } from '../database/database.js';
import { type Sql, sql } from '../database/sql.js';
import { unavailable } from '../errors/domain-error.js';
import { LOGGER } from '../observability/logger.js';
import type { OrderedChange } from './feed-change.js';
import { Nudged } from './nudged.js';
import { WAKE_UPS } from './tokens.js';
import type { WakeUps } from './wake-up.js';

/** Changes kept in memory for those who follow closely; everybody else reads them from the database. */
const WINDOW_ROWS = 2_000;
/** Changes handed over at a time. */
const PAGE_ROWS = 500;
/** Positions that one read from the database looks through: few changes may concern the reader's clusters. */
const STRIDE = 20_000;

/** Some changes after a cursor, in order. */
export interface OrderedPage {
  changes: OrderedChange[];
  /** Where the next page starts: past what the reader may not see, too. */
  through: number;
}

interface FeedExtent {
  last: number;
  prunedThrough: number;
}

/** The feed in its one true order, without gaps: for whoever must not miss or confuse anything. */
@Injectable()
export class OrderedFeed implements BeforeApplicationShutdown {
  private readonly listeners = new Set<() => void>();
  private readonly refreshing = new Nudged(() => this.refresh());
  private unsubscribe: (() => void) | null = null;
  /** The changes up to `last`, as far as they are kept. */
  private window: OrderedChange[] = [];
  private extent: FeedExtent = { last: 0, prunedThrough: 0 };
  private isFailing = false;

  constructor(
    private readonly database: Database,
    @Inject(WAKE_UPS) private readonly wakeUps: WakeUps,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {}

  /** The newest position known here; kept fresh while anybody follows. */
  get last(): number {
    return this.extent.last;
  }

  /** Changes up to this position have been removed; as of the last look. */
  get prunedThrough(): number {
    return this.extent.prunedThrough;
  }

  /** Calls back whenever `last` is another. Returns what ends the subscription. */
  follow(listener: () => void): () => void {
    const entry = () => listener();
    this.listeners.add(entry);
    this.unsubscribe ??= this.wakeUps.subscribe(() => this.refreshing.nudge());
    return () => {
      this.listeners.delete(entry);
      if (this.listeners.size > 0) return;
      this.unsubscribe?.();
      this.unsubscribe = null;
    };
  }

  /** Brings `last` up to what the database has now. @throws unavailable */
  async sync(): Promise<void> {
    this.refreshing.nudge();
    await this.refreshing.settled();
    if (this.isFailing) throw unavailable('unavailable', 'The change feed cannot be read at the moment.');
  }

  /**
   * The changes after `cursor` that concern `clusters`, or everything where that is null; a page at a time, until
   * `through` is `last`. null: some of them have been removed already.
   */
  async after(cursor: number, clusters: readonly string[] | null): Promise<OrderedPage | null> {
    const windowStart = this.last - this.window.length;
    if (cursor < windowStart) return this.fromDatabase(cursor, clusters);
    const rows = this.window.slice(cursor - windowStart, cursor - windowStart + PAGE_ROWS);
    return {
      changes: rows.filter((row) => concerns(row, clusters)),
      through: rows.at(-1)?.position ?? cursor,
    };
  }

  async beforeApplicationShutdown(): Promise<void> {
    this.unsubscribe?.();
    await this.refreshing.close();
  }

  private async fromDatabase(
    cursor: number,
    clusters: readonly string[] | null,
  ): Promise<OrderedPage | null> {
    const until = Math.min(cursor + STRIDE, this.last);
    const scope = clusters === null ? sql`true` : sql`f.cluster_id = ANY(${clusters}::uuid[])`;
    const { rows, prunedThrough } = await this.select(cursor, until, scope, PAGE_ROWS);
    if (prunedThrough > cursor) return null;
    const last = rows.at(-1);
    return {
      changes: rows,
      through: rows.length === PAGE_ROWS && last !== undefined ? last.position : until,
    };
  }

  private async refresh(): Promise<void> {
    try {
      const before = this.last;
      const extent = await this.readExtent();
      if (extent.last !== before) this.window = await this.windowAt(extent.last);
      this.extent = extent;
      this.isFailing = false;
      if (extent.last === before) return;
      for (const listener of this.listeners) listener();
    } catch (error) {
      if (!this.isFailing) this.logger.warn({ err: error }, 'feed: the ordered changes cannot be read');
      this.isFailing = true;
    }
  }

  private async readExtent(): Promise<FeedExtent> {
    const [row] = await this.database.query<FeedExtent>(sql`
      SELECT s.last_position AS last, s.pruned_through AS "prunedThrough" FROM change_feed_sequencer AS s`);
    if (row === undefined) throw new Error('the feed has no sequencer');
    return row;
  }

  /** Empty when this was far behind, or this is another database: then those who follow catch up from there. */
  private async windowAt(last: number): Promise<OrderedChange[]> {
    if (last < this.last || last - this.last > WINDOW_ROWS) return [];
    const { rows } = await this.select(this.last, last, sql`true`, WINDOW_ROWS);
    return rows.length === last - this.last ? [...this.window, ...rows].slice(-WINDOW_ROWS) : [];
  }

  /** Rows and what has been removed, at one instant: a hole between two looks would go unnoticed. */
  private async select(
    after: number,
    until: number,
    scope: Sql,
    limit: number,
  ): Promise<{ rows: OrderedChange[]; prunedThrough: number }> {
    const found = await this.database.query<
      (OrderedChange | { position: null }) & { prunedThrough: number }
    >(sql`
      SELECT s.pruned_through AS "prunedThrough", r.*
        FROM change_feed_sequencer AS s
        LEFT JOIN (
          SELECT f.position, f.id, f.kind, f.resource_type AS "resourceType", f.resource_id AS "resourceId",
                 f.cluster_id AS "clusterId", f.node_id AS "nodeId", f.revision, f.occurred_at AS "occurredAt"
            FROM change_feed AS f
           WHERE f.position > ${after}::bigint AND f.position <= ${until}::bigint AND ${scope}
           ORDER BY f.position LIMIT ${limit}) AS r ON true
       ORDER BY r.position`);
    const rows = found.filter(
      (row): row is OrderedChange & { prunedThrough: number } => row.position !== null,
    );
    return { rows, prunedThrough: found[0]?.prunedThrough ?? 0 };
  }
}

/** Whether somebody who may see `clusters` (null: everything) may see the change. */
export function concerns(change: OrderedChange, clusters: readonly string[] | null): boolean {
  return clusters === null || (change.clusterId !== null && clusters.includes(change.clusterId));
}
