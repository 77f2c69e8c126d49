import { readFileSync } from 'node:fs';
import os from 'node:os';

/** What a host can tell of time. */
export interface HostClock {
  /** Epoch milliseconds by the host's own clock, which anybody may set. */
  wallMs(): number;
  /** Milliseconds since the host was started, its sleep included. Nobody can set it. */
  steadyMs(): number;
  /** Names this start of the host, within which `steadyMs` may be compared; null where nothing tells. */
  readonly bootId: string | null;
}

/** The clocks of the host that the agent runs on. */
export const HOST_CLOCK: HostClock = {
  wallMs: () => Date.now(),
  // Not `performance.now()`: that stands still while the host sleeps, and a role would outlive its end by so much.
  steadyMs: () => os.uptime() * 1_000,
  bootId: bootIdOfLinux(),
};

function bootIdOfLinux(): string | null {
  try {
    return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
  } catch {
    return null;
  }
}
