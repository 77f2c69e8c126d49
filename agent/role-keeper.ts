import { effectiveRoles, nextRoleChange } from './effective-roles.js';
import type { Log } from './log.js';
import type { ServerClock } from './server-clock.js';
import type { Snapshot } from './snapshot.js';

/** Longest wait before looking at the clock again: timers stand still while the host sleeps, its clock does not. */
const LOOK_AGAIN_MS = 10_000;

/** Told of each new snapshot, and at each instant at which what it allows may change; null: nothing is allowed. */
export type SnapshotFollower = (snapshot: Snapshot | null, now: Date) => void;

/** Knows which roles hold now, also as time-bounded ones begin and end, and says when that changes. */
export class RoleKeeper {
  private snapshot: Snapshot | null = null;
  private current: readonly string[] = [];
  private timer: NodeJS.Timeout | undefined;
  private readonly followers: SnapshotFollower[] = [];

  constructor(
    private readonly clock: ServerClock,
    private readonly log: Log,
  ) {}

  /** From now on `follower` hears what this keeper applies. */
  follow(follower: SnapshotFollower): void {
    this.followers.push(follower);
  }

  /** Takes on the roles of `snapshot`; null drops them all. */
  apply(snapshot: Snapshot | null): void {
    this.snapshot = snapshot;
    this.evaluate();
  }

  /** Stops watching the clock; the roles stay as they are. */
  stop(): void {
    clearTimeout(this.timer);
  }

  private evaluate(): void {
    clearTimeout(this.timer);
    const now = this.clock.now();
    const roles = this.snapshot === null ? [] : effectiveRoles(this.snapshot, now);
    const added = roles.filter((role) => !this.current.includes(role));
    const removed = this.current.filter((role) => !roles.includes(role));
    this.current = roles;
    if (added.length > 0 || removed.length > 0) this.log.info('roles.changed', { added, removed });
    for (const follower of this.followers) follower(this.snapshot, now);
    if (this.snapshot === null) return;
    const next = nextRoleChange(this.snapshot, now);
    const waitMs = Math.min(LOOK_AGAIN_MS, next === null ? LOOK_AGAIN_MS : next.getTime() - now.getTime());
    this.timer = setTimeout(() => this.evaluate(), waitMs);
  }
}
