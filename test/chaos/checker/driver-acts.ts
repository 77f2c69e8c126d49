import type { Ending } from './endings.js';

/** What a driver did to the resource, as it wrote it down: one line of its file. */
export interface DriverAct {
  connectionId: string;
  nodeId: string;
  token: number;
  act: 'start' | 'work' | 'stop';
  /** Nanoseconds of the machine's monotonic clock. */
  time: number;
  /** Until when the agent held the lease by its own monotonic clock, in the same nanoseconds. */
  validUntil: number;
}

/** A resource that drivers act upon. */
export interface Resource {
  /** Whether it takes the act. */
  take(act: DriverAct): boolean;
}

/** Refuses a token below the highest that it has seen, as a fenced resource must. */
export class FencedResource implements Resource {
  private highest = 0;

  take({ token }: DriverAct): boolean {
    if (token < this.highest) return false;
    this.highest = token;
    return true;
  }
}

/** Takes everything: what a resource without fencing does. */
export class OpenResource implements Resource {
  take(): boolean {
    return true;
  }
}

/** Something that drivers did and should not have been able to do. */
export interface ActViolation {
  rule: 'overlapping_drivers' | 'stale_act_taken';
  acts: readonly DriverAct[];
}

/** A stretch of the machine's monotonic clock, in nanoseconds, half-open. */
export interface Stretch {
  from: number;
  to: number;
}

/** What agents cannot know. */
export interface Excuses {
  /** How long their authority lasts, when the database's clock was moved forward. */
  forwardSteps?: readonly Stretch[];
  /** That it was taken from them: from then on it is no valid authority, and fencing alone stops them. */
  endings?: readonly Ending[];
}

/**
 * What the acts of one connection's drivers break: two of different tokens that both held valid authority at one
 * instant, and acts that `resource` took with a token lower than one it had taken before.
 *
 * A process that is paused between its look at the clock and its act acts late, and nothing in it can help that: it is
 * the resource that has to refuse then, so lateness alone is no violation.
 */
export function actViolations(
  acts: readonly DriverAct[],
  resource: Resource,
  excuses: Excuses = {},
): ActViolation[] {
  const inOrder = [...acts].sort((one, other) => one.time - other.time);
  return [...overlaps(inOrder, excuses), ...staleActs(inOrder, resource)];
}

/** The acts of one connection that `resource` refuses; in a hostile run with pauses there are some. */
export function refusedActs(acts: readonly DriverAct[], resource: Resource): DriverAct[] {
  const inOrder = [...acts].sort((one, other) => one.time - other.time);
  return inOrder.filter((act) => !resource.take(act));
}

function overlaps(acts: readonly DriverAct[], { forwardSteps = [], endings = [] }: Excuses): ActViolation[] {
  const isValidAt = ({ token, validUntil }: DriverAct, time: number) =>
    time < validUntil && !endings.some((ending) => ending.token === token && ending.from <= time);
  const holders = new Map<string, DriverAct>();
  const found: ActViolation[] = [];
  for (const act of acts) {
    const isExempt = forwardSteps.some(({ from, to }) => from <= act.time && act.time < to);
    for (const other of isExempt ? [] : holders.values()) {
      if (other.token !== act.token && isValidAt(other, act.time) && isValidAt(act, act.time))
        found.push({ rule: 'overlapping_drivers', acts: [other, act] });
    }
    const key = `${act.nodeId} ${act.token}`;
    if (act.act === 'stop') holders.delete(key);
    else holders.set(key, act);
  }
  return found;
}

function staleActs(acts: readonly DriverAct[], resource: Resource): ActViolation[] {
  const found: ActViolation[] = [];
  let highest: DriverAct | null = null;
  for (const act of acts) {
    if (!resource.take(act)) continue;
    if (highest !== null && act.token < highest.token)
      found.push({ rule: 'stale_act_taken', acts: [highest, act] });
    else highest = act;
  }
  return found;
}
