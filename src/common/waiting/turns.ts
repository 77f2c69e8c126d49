import { unavailable } from '../errors/domain-error.js';

/** How callers take turns. */
export interface TurnsOptions {
  /** Calls at a time over all keys. */
  atOnce: number;
  /** Longest that a call waits for its turn. */
  waitMs: number;
  retryAfterSeconds: number;
}

interface Waiting {
  admit: () => void;
  isGone: boolean;
}

/**
 * Lets calls through one at a time for each key, in the order in which they came, and a few at a time over all keys.
 * Who waits holds nothing: a crowd for one row of a table waits here instead of on the connections of the pool, which
 * everybody else needs too.
 */
export class Turns {
  private readonly busy = new Set<string>();
  /** By key, the one that has waited longest first. */
  private readonly queues = new Map<string, Waiting[]>();

  constructor(private readonly options: TurnsOptions) {}

  /** Runs `work` when it is its turn, and tells it whether others were before it. @throws unavailable when that takes too
   *  long */
  async run<T>(key: string, work: (hasWaited: boolean) => Promise<T>): Promise<T> {
    const hasWaited = await this.enter(key);
    try {
      return await work(hasWaited);
    } finally {
      this.busy.delete(key);
      this.admitNext();
    }
  }

  private async enter(key: string): Promise<boolean> {
    // Nobody overtakes who waits for the same key.
    if (!this.queues.has(key) && this.isFree(key)) {
      this.busy.add(key);
      return false;
    }
    const { waitMs, retryAfterSeconds } = this.options;
    await new Promise<void>((resolve, reject) => {
      const waiting: Waiting = { admit: resolve, isGone: false };
      const timer = setTimeout(() => {
        waiting.isGone = true;
        reject(unavailable('unavailable', 'Too many calls wait for the same.', { retryAfterSeconds }));
      }, waitMs);
      waiting.admit = () => {
        clearTimeout(timer);
        resolve();
      };
      const queue = this.queues.get(key);
      if (queue === undefined) this.queues.set(key, [waiting]);
      else queue.push(waiting);
    });
    return true;
  }

  private isFree(key: string): boolean {
    return this.busy.size < this.options.atOnce && !this.busy.has(key);
  }

  /** Looks at a few keys at the most: there are never more busy ones in front than calls at once. */
  private admitNext(): void {
    for (const [key, queue] of this.queues) {
      if (this.busy.size >= this.options.atOnce) return;
      if (this.busy.has(key)) continue;
      // Others come first next time.
      this.queues.delete(key);
      const next = takeFirst(queue);
      if (queue.length > 0) this.queues.set(key, queue);
      if (next === null) continue;
      this.busy.add(key);
      next.admit();
    }
  }
}

/** The first that has not given up, with those before it. */
function takeFirst(queue: Waiting[]): Waiting | null {
  for (let waiting = queue.shift(); waiting !== undefined; waiting = queue.shift())
    if (!waiting.isGone) return waiting;
  return null;
}
