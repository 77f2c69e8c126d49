import { Readable } from 'node:stream';
import { ALIVE_FRAME, changeFrame, HELLO_FRAME, type ResetReason, resetFrame } from './event-frames.js';
import type { OrderedChange } from './feed-change.js';
import type { OrderedFeed } from './ordered-feed.js';

/** Text that waits for a slow reader; beyond it nothing is read from the feed until the reader has caught up. */
const BUFFER_BYTES = 65_536;
/** A reader that takes nothing for so long is gone. */
const STALLED_MS = 60_000;

/** Where a stream starts and what it may show. */
export interface EventStreamOptions {
  /** The position of the last event that the client has; null: only what comes now. */
  cursor: number | null;
  /** null: everything. */
  clusters: readonly string[] | null;
  /** Only what is about this resource; absent: about any. */
  resource?: EventResource | undefined;
}

/** What all events of a stream are about. */
export interface EventResource {
  type: string;
  id: string;
}

/**
 * The answer to one follower of events: pulls from the feed as fast as its reader takes, so that a slow one costs no
 * memory and misses nothing.
 */
export class EventStream extends Readable {
  private cursor: number;
  private clusters: readonly string[] | null;
  private readonly resource: EventResource | undefined;
  private isPumping = false;
  private isFinished = false;
  /** When the buffer became full; null while it has room. */
  private fullSince: number | null = null;

  /** @param feed in sync: its `last` is what "now" means */
  constructor(
    private readonly feed: OrderedFeed,
    { cursor, clusters, resource }: EventStreamOptions,
  ) {
    super({ highWaterMark: BUFFER_BYTES });
    this.clusters = clusters;
    this.resource = resource;
    this.cursor = cursor ?? feed.last;
    this.write(HELLO_FRAME);
    if (this.cursor > feed.last) this.reset('cursor_unknown');
    else if (this.cursor < feed.prunedThrough) this.reset('cursor_too_old');
  }

  /** The feed has grown. */
  advance(): void {
    void this.pump();
  }

  /** From the next event on shows only these clusters. */
  narrow(clusters: readonly string[] | null): void {
    this.clusters = clusters;
  }

  /** Keeps the connection in use, or gives it up when nobody reads at its other end. */
  keepAlive(): void {
    if (!this.isOpen) return;
    if (this.fullSince === null) this.write(ALIVE_FRAME);
    else if (performance.now() - this.fullSince > STALLED_MS) this.destroy();
  }

  /** Ends the answer in an orderly way; the client comes back with the last id that it has. */
  finish(): void {
    if (!this.isOpen) return;
    this.isFinished = true;
    this.push(null);
  }

  override _read(): void {
    this.fullSince = null;
    void this.pump();
  }

  private async pump(): Promise<void> {
    if (this.isPumping) return;
    this.isPumping = true;
    try {
      while (this.fullSince === null && this.isOpen && this.cursor !== this.feed.last) await this.sendPage();
    } catch {
      // The database is away. The client returns with its cursor, by then perhaps to another instance.
      this.finish();
    } finally {
      this.isPumping = false;
    }
  }

  private async sendPage(): Promise<void> {
    if (this.cursor > this.feed.last) return this.reset('cursor_unknown');
    const page = await this.feed.after(this.cursor, this.clusters);
    if (!this.isOpen) return;
    if (page === null) return this.reset('cursor_too_old');
    this.cursor = page.through;
    const told = page.changes.filter((change) => this.isAbout(change));
    if (told.length > 0) this.write(told.map(changeFrame).join(''));
  }

  private isAbout({ resourceType, resourceId }: OrderedChange): boolean {
    return (
      this.resource === undefined || (resourceType === this.resource.type && resourceId === this.resource.id)
    );
  }

  private reset(reason: ResetReason): void {
    this.cursor = this.feed.last;
    this.write(resetFrame(this.cursor, reason));
  }

  private write(text: string): void {
    if (!this.push(text)) this.fullSince = performance.now();
  }

  private get isOpen(): boolean {
    return !this.destroyed && !this.isFinished;
  }
}
