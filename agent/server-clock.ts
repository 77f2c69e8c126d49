/** How long a measured offset counts as fresh; clocks drift by far less than a second in that time. */
const FRESH_MS = 120_000;

/**
 * The control plane's clock as this host sees it. A host with a wrong clock still makes assertions that
 * the service accepts, and applies times in snapshots at the right instant.
 */
export class ServerClock {
  private measuredAt: number | null = null;

  /** `offsetMs`: what was measured before, if anything; positive when the server is ahead of this host. */
  constructor(private offset = 0) {}

  get offsetMs(): number {
    return this.offset;
  }

  /** The server's present time as well as it is known. */
  now(): Date {
    return new Date(Date.now() + this.offset);
  }

  /** Takes in a `serverTime` from an answer; anything that is not a time is ignored. Times in epoch ms. */
  observe(serverTime: unknown, exchange: { sentAt: number; receivedAt: number }): void {
    const at = typeof serverTime === 'string' ? Date.parse(serverTime) : Number.NaN;
    if (Number.isNaN(at)) return;
    // The server read its clock somewhere between the two; the middle is at most half a round trip off.
    this.offset = Math.round(at - (exchange.sentAt + exchange.receivedAt) / 2);
    this.measuredAt = performance.now();
  }

  /** Whether the offset was measured lately enough to blame a refusal on something other than the clock. */
  isFresh(): boolean {
    return this.measuredAt !== null && performance.now() - this.measuredAt < FRESH_MS;
  }
}
