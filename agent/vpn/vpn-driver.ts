import type { VpnAssignment } from './vpn-assignment.js';

/** What a driver runs under. The token goes to whatever the tunnel leads to, which must refuse lower ones. */
export interface DriverLease {
  token: number;
  /** Of the steady clock, in milliseconds: the driver must be down by then. */
  validUntilMs: number;
  /** When it begins to stop, whether or not anybody tells it to. */
  stopAtMs: number;
}

/** Brings the tunnel of one connection up and down, again and again; one period at a time. */
export interface VpnDriver {
  /** How long a stop may take, in milliseconds. */
  readonly stopMs: number;
  /** Aborts when the tunnel does not come up, or goes down by itself; a new one with each start. */
  readonly failed: AbortSignal;
  /** Brings it up; resolves when it is. @throws when it does not come up, once `failed` has aborted */
  start(assignment: VpnAssignment, lease: DriverLease): Promise<void>;
  /** The same period goes on for longer. */
  extend(lease: DriverLease): void;
  /** Takes it down, or makes sure that it is; resolves when it is. Never rejects: it goes on trying. */
  stop(): Promise<void>;
}

/** Makes the driver of a connection; null: this host has none for it. */
export interface VpnDrivers {
  driverFor(assignment: VpnAssignment): VpnDriver | null;
  /** Takes down what an agent before this one left up. */
  clearLeftovers(): Promise<void>;
}
