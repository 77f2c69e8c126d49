import { beforeEach, describe, expect, it } from '@jest/globals';
import type { HostClock } from './host-clock.js';
import { ServerClock } from './server-clock.js';

const START = Date.parse('2026-03-01T12:00:00.000Z');
const HOUR = 3_600_000;

/** A host whose clocks the test moves. */
class TestHost implements HostClock {
  wall = START;
  steady = 5_000;
  bootId: string | null = 'boot-1';

  wallMs = (): number => this.wall;
  steadyMs = (): number => this.steady;

  passes(ms: number): void {
    this.wall += ms;
    this.steady += ms;
  }

  /** Starts anew: another boot, and its steady clock begins at zero. */
  reboots(): void {
    this.bootId = 'boot-2';
    this.steady = 0;
  }
}

let host: TestHost;
beforeEach(() => {
  host = new TestHost();
});

const iso = (ms: number): string => new Date(ms).toISOString();
const at = (clock: ServerClock): number => clock.now().getTime();
/** An exchange of `tripMs`, which the server answered in its middle. */
const trip = (tripMs: number) => ({ sentAt: 0, receivedAt: tripMs });
function heard(serverMs: number): ServerClock {
  const clock = new ServerClock(null, host);
  clock.observe(iso(serverMs), trip(0));
  return clock;
}

describe('the time of the control plane', () => {
  it('is the host’s until the control plane is heard, and then the control plane’s', () => {
    const clock = new ServerClock(null, host);
    expect(at(clock)).toBe(START);
    clock.observe(iso(START + 2 * HOUR), trip(200));
    expect(at(clock)).toBe(START + 2 * HOUR + 100);
    expect(clock.offsetMs).toBe(2 * HOUR + 100);
  });

  it.each([-48 * HOUR, 48 * HOUR])('goes on undisturbed when the host’s clock is set by %d ms', (by) => {
    const clock = heard(START);
    host.passes(1_000);
    host.wall += by;
    expect(at(clock)).toBe(START + 1_000);
  });

  it('counts the sleep of the host', () => {
    const clock = heard(START);
    host.passes(8 * HOUR);
    expect(at(clock)).toBe(START + 8 * HOUR);
  });

  it.each([-48 * HOUR, 48 * HOUR])(
    'survives a restart of the agent after the host’s clock was set by %d ms',
    (by) => {
      const clock = heard(START + HOUR);
      const remembered = { clockOffsetMs: clock.offsetMs, anchor: clock.anchor };
      host.passes(60_000);
      host.wall += by;
      expect(at(new ServerClock(remembered, host))).toBe(START + HOUR + 60_000);
    },
  );

  it('follows the host’s clock and the old offset after a boot', () => {
    const clock = heard(START + HOUR);
    const remembered = { clockOffsetMs: clock.offsetMs, anchor: clock.anchor };
    host.passes(60_000);
    host.reboots();
    expect(at(new ServerClock(remembered, host))).toBe(START + HOUR + 60_000);
  });

  it('is never before what was heard, though a host without a clock boots in 1970', () => {
    const clock = heard(START);
    const remembered = { clockOffsetMs: clock.offsetMs, anchor: clock.anchor };
    host.reboots();
    host.wall = 0;
    expect(at(new ServerClock(remembered, host))).toBe(START);
  });

  it('takes a boot id that nothing tells for another boot', () => {
    host.bootId = null;
    const { anchor } = heard(START);
    host.passes(60_000);
    host.wall += HOUR;
    expect(at(new ServerClock({ clockOffsetMs: 0, anchor }, host))).toBe(START + HOUR + 60_000);
  });

  it('does not step back for noise of the network, but does for a real correction', () => {
    const clock = heard(START);
    clock.observe(iso(START - 400), trip(0));
    expect(at(clock)).toBe(START);
    clock.observe(iso(START + 400), trip(0));
    expect(at(clock)).toBe(START + 400);
    clock.observe(iso(START - HOUR), trip(0));
    expect(at(clock)).toBe(START - HOUR);
  });

  it.each([undefined, 17, 'tomorrow'])('ignores %p, which is no time', (value) => {
    const clock = heard(START);
    clock.observe(value, trip(0));
    expect(at(clock)).toBe(START);
  });

  it('is fresh for two minutes after it was heard', () => {
    expect(new ServerClock(null, host).isFresh()).toBe(false);
    const clock = heard(START);
    host.passes(119_999);
    expect(clock.isFresh()).toBe(true);
    host.passes(1);
    expect(clock.isFresh()).toBe(false);
  });
});
