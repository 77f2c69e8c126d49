/** Released one after the other without a look at anything else; the rest of the process gets its turn after so many. */
const GROUP = 100;

/**
 * Releases a crowd in small groups, each in a turn of the event loop of its own, so that what the members then do is not
 * done by all of them before anybody else is served. Those that cannot wait go before a crowd that is being released.
 */
export class Pacer<T> {
  private readonly first: T[] = [];
  private readonly crowd: T[] = [];
  private isScheduled = false;
  private whenEmpty: (() => void)[] = [];

  constructor(private readonly release: (item: T) => void) {}

  add(item: T, lane: 'first' | 'crowd'): void {
    this[lane].push(item);
    this.schedule();
  }

  /** Resolves when everything that was added has been released. */
  emptied(): Promise<void> {
    if (!this.isScheduled) return Promise.resolve();
    return new Promise((resolve) => this.whenEmpty.push(resolve));
  }

  private schedule(): void {
    if (this.isScheduled) return;
    this.isScheduled = true;
    setImmediate(() => this.releaseGroup());
  }

  private releaseGroup(): void {
    this.isScheduled = false;
    const lane = this.first.length > 0 ? this.first : this.crowd;
    for (const item of lane.splice(0, GROUP)) this.release(item);
    if (this.first.length + this.crowd.length > 0) this.schedule();
    else for (const resolve of this.whenEmpty.splice(0)) resolve();
  }
}
