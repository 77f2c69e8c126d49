import { isUnavailable } from '../database/postgres-errors.js';
import { unavailable } from '../errors/domain-error.js';

/** How items are gathered and written. */
export interface Batching<Item, Result> {
  /** Two items of one key never share a batch: the second waits until the first is written. */
  keyOf(item: Item): string;
  /** Writes a batch; what it came to, by key. It may run again with parts of a batch that failed. */
  write(items: readonly Item[]): Promise<ReadonlyMap<string, Result>>;
  /** Items that wait this long share a batch. */
  gatherMs: number;
  /** A batch of this size is written at once. */
  size: number;
  /** Batches on their way at a time. */
  maxWrites: number;
  /** Beyond this the database does not keep up, and callers are told to come back. */
  maxWaiting: number;
}

const RETRY_AFTER_SECONDS = 5;

interface Waiting<Item, Result> {
  item: Item;
  resolve: (result: Result | null) => void;
  reject: (error: unknown) => void;
}

/** Gathers what many callers want written for a moment and writes it together: durable when answered, one commit for
 *  many. */
export class Batches<Item, Result> {
  private queue: Waiting<Item, Result>[] = [];
  private timer: NodeJS.Timeout | null = null;
  private writes = 0;
  /** Keys with an item on its way to the database: the next one waits, so that none overtakes another. */
  private readonly writing = new Set<string>();

  constructor(private readonly batching: Batching<Item, Result>) {}

  /** What writing the item came to; null when the write says nothing of it. @throws unavailable when too many wait */
  add(item: Item): Promise<Result | null> {
    if (this.queue.length >= this.batching.maxWaiting) {
      throw unavailable('unavailable', 'Too many calls of nodes are waiting.', {
        retryAfterSeconds: RETRY_AFTER_SECONDS,
      });
    }
    return new Promise((resolve, reject) => {
      this.queue.push({ item, resolve, reject });
      this.schedule();
    });
  }

  private schedule(): void {
    if (this.queue.length >= this.batching.size) this.flush();
    else this.timer ??= setTimeout(() => this.flush(), this.batching.gatherMs);
  }

  private flush(): void {
    if (this.timer !== null) clearTimeout(this.timer);
    this.timer = null;
    while (this.queue.length > 0 && this.writes < this.batching.maxWrites) {
      const batch = this.takeBatch();
      if (batch.size === 0) return;
      for (const key of batch.keys()) this.writing.add(key);
      this.writes += 1;
      void this.write([...batch.values()]).finally(() => {
        this.writes -= 1;
        for (const key of batch.keys()) this.writing.delete(key);
        if (this.queue.length > 0) this.schedule();
      });
    }
  }

  /** Up to a batch with each key once. */
  private takeBatch(): Map<string, Waiting<Item, Result>> {
    const taken = new Map<string, Waiting<Item, Result>>();
    const left: Waiting<Item, Result>[] = [];
    for (const waiting of this.queue) {
      const key = this.batching.keyOf(waiting.item);
      if (taken.size < this.batching.size && !taken.has(key) && !this.writing.has(key))
        taken.set(key, waiting);
      else left.push(waiting);
    }
    this.queue = left;
    return taken;
  }

  /** Writes a batch; one that fails is split, so that what one item holds cannot hold up the others. */
  private async write(batch: readonly Waiting<Item, Result>[]): Promise<void> {
    try {
      const results = await this.batching.write(batch.map(({ item }) => item));
      for (const { item, resolve } of batch) resolve(results.get(this.batching.keyOf(item)) ?? null);
    } catch (error) {
      const [first] = batch;
      // That the database is away is no item's fault, and every part would wait for it again.
      if (isUnavailable(error)) for (const { reject } of batch) reject(error);
      else if (batch.length === 1) first?.reject(error);
      else {
        const middle = Math.ceil(batch.length / 2);
        await this.write(batch.slice(0, middle));
        await this.write(batch.slice(middle));
      }
    }
  }
}
