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

/**
 * The kernel's id of this boot, with the start of process 1: in a container that is the container's start,
 * before which its uptime may have been another.
 */
function bootIdOfLinux(): string | null {
  try {
    const bootId = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
    const init = readFileSync('/proc/1/stat', 'utf8');
    return `${bootId}.${init.slice(init.lastIndexOf(')') + 2).split(' ')[19]}`;
  } catch {
    return null;
  }
}
