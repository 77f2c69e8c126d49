import { appendFileSync } from 'node:fs';
import type { SteadyClock } from './steady-clock.js';
import type { VpnAssignment } from './vpn-assignment.js';
import type { DriverLease, VpnDriver } from './vpn-driver.js';

/** Where acts are written, and how often one is. */
export interface SimulatedDriverConfig {
  file: string;
  workMs: number;
}

/** How much of the time between two acts one is on its way from the look at the clock to where it lands. */
const ON_ITS_WAY = 0.8;

/**
 * A driver without a tunnel: it writes each act with the fencing token to a file, one JSON object a line, as it would
 * act upon a resource. For tests that look whether two ever held one connection, and whether fencing would have helped.
 */
export class SimulatedDriver implements VpnDriver {
  readonly stopMs = 100;
  readonly failed = new AbortController().signal;
  private connectionId = '';
  private lease: DriverLease = { token: 0, validUntilMs: 0, stopAtMs: 0 };
  private timer: NodeJS.Timeout | undefined;
  private landing: NodeJS.Timeout | undefined;

  constructor(
    private readonly nodeId: string,
    private readonly config: SimulatedDriverConfig,
    private readonly clock: SteadyClock,
  ) {}

  async start({ connectionId }: VpnAssignment, lease: DriverLease): Promise<void> {
    this.connectionId = connectionId;
    this.lease = lease;
    this.act('start');
    this.timer = setInterval(() => {
      // Whoever is stopped late must not work on: the lease may be another's by now.
      if (this.clock.now() >= this.lease.stopAtMs) return;
      // Like a packet that is on its way when its sender is paused: nothing here can call it back then.
      this.landing = setTimeout(() => this.act('work'), this.config.workMs * ON_ITS_WAY);
    }, this.config.workMs);
  }

  extend(lease: DriverLease): void {
    this.lease = lease;
  }

  async stop(): Promise<void> {
    if (this.timer !== undefined) this.act('stop');
    clearInterval(this.timer);
    clearTimeout(this.landing);
    this.timer = undefined;
  }

  /** In nanoseconds of the clock that all processes of the host share, so that what several wrote can be compared. */
  private act(act: 'start' | 'work' | 'stop'): void {
    const { connectionId, nodeId } = this;
    const time = Number(process.hrtime.bigint());
    const validUntil = Math.floor(time + (this.lease.validUntilMs - this.clock.now()) * 1e6);
    const line = JSON.stringify({ connectionId, nodeId, token: this.lease.token, act, time, validUntil });
    appendFileSync(this.config.file, `${line}\n`, { mode: 0o600 });
  }
}
