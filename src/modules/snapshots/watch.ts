import type { Departure } from './departure.js';

/** How a wait for a change ended. */
export type Release = 'changed' | 'timeout' | 'gone' | 'stopping';

/** What is held until something concerns its node. */
export interface Holding {
  /** The node may have something new, or the service stops. */
  release(release: 'changed' | 'stopping'): void;
  /** Adds something that stands in no snapshot; to be released after it. */
  hint(connectionId: string): void;
}

/** One request that waits for changes of its node, perhaps more than once. A change between two waits is not lost. */
export class Watch implements Holding {
  private pending: Release | null = null;
  private finish: ((release: Release) => void) | null = null;
  /** Made when it is needed: there are thousands of watches, and hints are few. */
  private hinted: Set<string> | null = null;

  /** @param onClose called once */
  constructor(
    private readonly caller: Departure,
    private readonly onClose: () => void,
  ) {}

  /** The VPN connections at whose lease the caller should look, whether or not its snapshot has changed. */
  get hints(): readonly string[] {
    return [...(this.hinted ?? [])];
  }

  hint(connectionId: string): void {
    this.hinted ??= new Set();
    this.hinted.add(connectionId);
  }

  /** Waits until the node may have a new snapshot, `waitMs` have passed, the caller is gone or the service stops. */
  next(waitMs: number): Promise<Release> {
    if (this.caller.isOver) return Promise.resolve('gone');
    if (this.pending !== null) {
      const release = this.pending;
      // A service that stops goes on stopping.
      if (release !== 'stopping') this.pending = null;
      return Promise.resolve(release);
    }
    return new Promise((resolve) => {
      const finish = (release: Release) => {
        clearTimeout(timer);
        this.caller.tell(null);
        this.finish = null;
        resolve(release);
      };
      const timer = setTimeout(finish, waitMs, 'timeout');
      this.caller.tell(() => finish('gone'));
      this.finish = finish;
    });
  }

  release(release: 'changed' | 'stopping'): void {
    if (this.finish === null || release === 'stopping') this.pending = release;
    this.finish?.(release);
  }

  close(): void {
    this.onClose();
  }
}
