import { HOST_CLOCK, type HostClock } from './host-clock.js';

/** How long a measured offset counts as fresh; clocks drift by far less than a second in that time. */
const FRESH_MS = 120_000;
/** Two measurements of the same clock differ by this much because of the network alone. */
const JITTER_MS = 1_000;

/** A moment by the control plane's clock, and when that was by the host's steady one. */
export interface ClockAnchor {
  serverTime: string;
  bootId: string | null;
  steadyMs: number;
}

/** What was measured before this process began. */
export interface RememberedClock {
  clockOffsetMs: number;
  anchor?: ClockAnchor;
}

/**
 * The control plane's clock as this host sees it. From the last measurement on it runs by the host's steady
 * clock, so that setting the host's time neither ends nor revives anything; the host's time counts only on
 * the first start after a boot, until the control plane has been heard.
 */
export class ServerClock {
  private base: { serverMs: number; steadyMs: number };
  private measuredAt: number | null = null;

  constructor(
    remembered: RememberedClock | null = null,
    private readonly host: HostClock = HOST_CLOCK,
  ) {
    this.base = startOf(remembered, host);
  }

  /** How far the control plane's clock is ahead of this host's. */
  get offsetMs(): number {
    return Math.round(this.now().getTime() - this.host.wallMs());
  }

  /** What a later process of this host needs to go on with the same time. */
  get anchor(): ClockAnchor {
    const { bootId } = this.host;
    return { serverTime: this.now().toISOString(), bootId, steadyMs: Math.round(this.host.steadyMs()) };
  }

  /** The server's present time as well as it is known. */
  now(): Date {
    return new Date(this.base.serverMs + this.host.steadyMs() - this.base.steadyMs);
  }

  /** Takes in a `serverTime` from an answer; anything that is not a time is ignored. Times in milliseconds. */
  observe(serverTime: unknown, exchange: { sentAt: number; receivedAt: number }): void {
    const at = typeof serverTime === 'string' ? Date.parse(serverTime) : Number.NaN;
    if (Number.isNaN(at)) return;
    const steadyMs = this.host.steadyMs();
    this.measuredAt = steadyMs;
    // The server read its clock somewhere between the two; the middle is at most half a round trip off.
    const serverMs = at + Math.max(0, exchange.receivedAt - exchange.sentAt) / 2;
    const isBehindMs = this.now().getTime() - serverMs;
    // A small step back is noise, and would give a role that has just ended another moment.
    if (isBehindMs > 0 && isBehindMs < JITTER_MS) return;
    this.base = { serverMs, steadyMs };
  }

  /** Whether the offset was measured lately enough to blame a refusal on something other than the clock. */
  isFresh(): boolean {
    return this.measuredAt !== null && this.host.steadyMs() - this.measuredAt < FRESH_MS;
  }
}

/** Where the clock begins: at the remembered moment of this boot, else by the host's time, never before it. */
function startOf(remembered: RememberedClock | null, host: HostClock) {
  const { clockOffsetMs = 0, anchor } = remembered ?? {};
  const heardAt = anchor === undefined ? Number.NaN : Date.parse(anchor.serverTime);
  const steadyMs = host.steadyMs();
  const isThisBoot = anchor !== undefined && anchor.bootId !== null && anchor.bootId === host.bootId;
  if (isThisBoot && !Number.isNaN(heardAt) && anchor.steadyMs <= steadyMs) {
    return { serverMs: heardAt, steadyMs: anchor.steadyMs };
  }
  const byHost = host.wallMs() + clockOffsetMs;
  return { serverMs: Number.isNaN(heardAt) ? byHost : Math.max(heardAt, byHost), steadyMs };
}
