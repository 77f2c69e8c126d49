import { canonicalJson } from '../canonical-json.js';
import { effectiveRoles } from '../effective-roles.js';
import type { Snapshot } from '../snapshot.js';
import { LeaseLoop, type LeaseLoopContext } from './lease-loop.js';
import { ROLE_OF_KIND, type VpnAssignment } from './vpn-assignment.js';
import type { VpnDrivers } from './vpn-driver.js';

interface Kept {
  /** The assignment in one spelling: another is another loop. */
  form: string;
  loop: LeaseLoop;
  stop: AbortController;
  done: Promise<void>;
}

/** Runs a lease loop for each connection that the snapshot assigns, and none for any other. */
export class VpnKeeper {
  private readonly kept = new Map<string, Kept>();
  private wanted: readonly VpnAssignment[] = [];
  private change: (() => void) | null = null;

  constructor(
    private readonly drivers: VpnDrivers,
    private readonly context: LeaseLoopContext,
  ) {}

  /** Takes on what `snapshot` assigns at `now`; null: nothing. Returns at once. */
  apply(snapshot: Snapshot | null, now: Date): void {
    const roles = snapshot === null ? [] : effectiveRoles(snapshot, now);
    const assigned = snapshot?.vpnAssignments ?? [];
    this.wanted = assigned.filter(({ kind }) => roles.includes(ROLE_OF_KIND[kind]));
    this.change?.();
  }

  /** Something has become of the leases of these connections: they are looked at now. Returns at once. */
  look(connectionIds: readonly string[] | 'all'): void {
    const which = connectionIds === 'all' ? [...this.kept.keys()] : connectionIds;
    for (const connectionId of which) this.kept.get(connectionId)?.loop.look();
  }

  /** Keeps leases until `stop` aborts; then every driver is down. @throws IdentityRefused */
  async run(stop: AbortSignal): Promise<void> {
    await this.drivers.clearLeftovers();
    let failure: unknown = null;
    stop.addEventListener('abort', () => this.change?.(), { once: true });
    while (!stop.aborted && failure === null) {
      const changed = new Promise<void>((resolve) => {
        this.change = resolve;
      });
      this.settle((error) => {
        failure = error;
        this.change?.();
      });
      await changed;
    }
    for (const { stop: end } of this.kept.values()) end.abort();
    await Promise.all([...this.kept.values()].map(({ done }) => done));
    if (failure !== null) throw failure;
  }

  private settle(onFailure: (error: unknown) => void): void {
    const enabled = new Map(
      this.wanted
        .filter(({ desiredState }) => desiredState === 'enabled')
        .map((assignment) => [assignment.connectionId, assignment]),
    );
    for (const [connectionId, { form, stop }] of this.kept) {
      const assignment = enabled.get(connectionId);
      if (assignment === undefined || canonicalJson(assignment) !== form) stop.abort();
    }
    for (const [connectionId, assignment] of enabled) {
      // The loop before it still takes its driver down; its end brings us here again.
      if (!this.kept.has(connectionId)) this.begin(assignment, onFailure);
    }
    for (const { connectionId, desiredState } of this.wanted) {
      if (desiredState === 'disabled') this.context.reporter.report(connectionId, 'not_started', null);
    }
  }

  private begin(assignment: VpnAssignment, onFailure: (error: unknown) => void): void {
    const { connectionId } = assignment;
    const driver = this.drivers.driverFor(assignment);
    if (driver === null) {
      this.context.reporter.report(connectionId, 'blocked', 'this host has no driver for VPN connections');
      return;
    }
    const stop = new AbortController();
    const loop = new LeaseLoop(assignment, driver, this.context);
    const done = loop
      .run(stop.signal)
      .catch(onFailure)
      .finally(() => {
        this.kept.delete(connectionId);
        this.change?.();
      });
    this.kept.set(connectionId, { form: canonicalJson(assignment), loop, stop, done });
  }
}
