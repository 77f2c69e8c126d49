import os from 'node:os';

/** What the clock is made of; tests put others in their place. */
export interface Ticks {
  /** Nanoseconds of a fine clock that stands still while the host sleeps, the same for every process of the host. */
  fine(): bigint;
  /** Seconds since the host was started, its sleep included; coarse. */
  uptimeSeconds(): number;
}

const HOST_TICKS: Ticks = { fine: () => process.hrtime.bigint(), uptimeSeconds: () => os.uptime() };

/** The two clocks differ by less than this although the host did not sleep: the coarse one counts seconds. */
const COARSENESS_MS = 1_500;

/** Both are looked at within this time, if one of so many looks can. */
const AT_ONCE_MS = 100;
const MOST_LOOKS = 10;

/**
 * Milliseconds that only grow, that nobody can set, and that go on while the host sleeps: what a lease is counted by. A
 * sleep is noticed at the next look, before the answer is given.
 */
export class SteadyClock {
  private readonly apartMs: number;
  private sleptMs = 0;

  constructor(private readonly ticks: Ticks = HOST_TICKS) {
    this.apartMs = this.distanceMs();
  }

  now(): number {
    const driftMs = this.distanceMs() - this.apartMs;
    if (driftMs - this.sleptMs > COARSENESS_MS) this.sleptMs = driftMs;
    return Number(this.ticks.fine()) / 1e6 + this.sleptMs;
  }

  /** By a look at both that was not held up: the time between two looks would pass for sleep. */
  private distanceMs(): number {
    let looks = 0;
    for (;;) {
      const before = Number(this.ticks.fine()) / 1e6;
      const uptimeMs = this.ticks.uptimeSeconds() * 1_000;
      const after = Number(this.ticks.fine()) / 1e6;
      looks += 1;
      if (after - before <= AT_ONCE_MS || looks === MOST_LOOKS) return uptimeMs - after;
    }
  }
}
