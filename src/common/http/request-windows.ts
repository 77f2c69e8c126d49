/** Where a caller stands in its present window. */
export interface Spent {
  /** How many more requests the window takes; negative once it is exceeded. */
  left: number;
  /** Until the next window of this caller. */
  resetMs: number;
}

interface Window {
  count: number;
  endsAtMs: number;
}

/**
 * Counts requests by caller in fixed windows, each of which begins with the caller's first request. In this process
 * and without a promise, since it stands before every call.
 */
export class RequestWindows {
  private readonly windows = new Map<string, Window>();
  private nextSweepMs = 0;

  /**
   * @param limit requests a window
   * @param windowMs its length
   * @param clock milliseconds that only grow
   */
  constructor(
    readonly limit: number,
    private readonly windowMs: number,
    private readonly clock: () => number = () => performance.now(),
  ) {}

  /** Counts a request of `key`. */
  spend(key: string): Spent {
    const now = this.clock();
    let window = this.windows.get(key);
    if (window === undefined || window.endsAtMs <= now) {
      this.sweep(now);
      window = { count: 0, endsAtMs: now + this.windowMs };
      this.windows.set(key, window);
    }
    window.count += 1;
    return { left: this.limit - window.count, resetMs: window.endsAtMs - now };
  }

  /** Forgets, once a window, whom nobody has seen for one, so that addresses that come and go take no memory. */
  private sweep(now: number): void {
    if (now < this.nextSweepMs) return;
    this.nextSweepMs = now + this.windowMs;
    for (const [key, { endsAtMs }] of this.windows) if (endsAtMs <= now) this.windows.delete(key);
  }
}
