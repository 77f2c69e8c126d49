import { expect, it } from '@jest/globals';
import { SteadyClock } from './steady-clock.js';

/** A host whose clocks are turned by hand. */
class TestHost {
  private fineMs = 5_000;
  private aheadMs = 70_000;
  readonly clock: SteadyClock;

  /** @param heldUpMs for how long its program stands still after it has looked at the coarse clock for the first time */
  constructor(private heldUpMs = 0) {
    this.clock = new SteadyClock({
      fine: () => BigInt(Math.round(this.fineMs * 1e6)),
      uptimeSeconds: () => this.uptimeSeconds(),
    });
  }

  run(ms: number): void {
    this.fineMs += ms;
  }
  suspend(ms: number): void {
    this.aheadMs += ms;
  }
  private uptimeSeconds(): number {
    const seconds = Math.floor((this.fineMs + this.aheadMs) / 1_000);
    this.run(this.heldUpMs);
    this.heldUpMs = 0;
    return seconds;
  }
}

it('runs with the fine clock while the host is awake, whatever the coarse one rounds', () => {
  const host = new TestHost();
  const begun = host.clock.now();
  for (let ms = 0; ms < 5_000; ms += 37) {
    host.run(37);
    expect(host.clock.now() - begun).toBeCloseTo(ms + 37, 3);
  }
});

it('counts the sleep of the host, at the first look after it', () => {
  const host = new TestHost();
  const begun = host.clock.now();
  host.suspend(60_000);
  host.run(10);
  const slept = host.clock.now() - begun;
  expect(slept).toBeGreaterThanOrEqual(59_000);
  expect(slept).toBeLessThanOrEqual(61_010);
  host.run(10);
  expect(host.clock.now() - begun - slept).toBeCloseTo(10, 3);
});

it('takes no time for sleep for which it was held up when it began', () => {
  const host = new TestHost(5_000);
  expect(host.clock.now()).toBeCloseTo(10_000, 3);
});
