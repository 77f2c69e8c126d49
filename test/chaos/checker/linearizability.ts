import type { Operation } from './history.js';
import { type LeaseState, NO_LEASE, stateKey, steps } from './lease-model.js';

/** More configurations than this and the search gives up, which is neither a yes nor a no. */
const MOST_CONFIGURATIONS = 1_000_000;

/** Whether there is an order of the operations that explains all answers; otherwise the operation no order gets past. */
export type Verdict =
  | { linearizable: true }
  | { linearizable: false; stuckAt: Operation }
  | { undecided: true };

interface Configuration {
  /** Answered operations before it are all done; those done beyond it stand in `done`. */
  first: number;
  done: ReadonlySet<number>;
  /** How many of each kind of lost operation have been used. */
  used: readonly number[];
  state: LeaseState;
}

/**
 * Looks for an order of one connection's operations in which each takes effect at one instant between its invocation
 * and its completion, as the model allows (Wing and Gong's search with Lowe's memory of configurations). Operations
 * whose answer was lost may stand at any instant after their invocation, or nowhere. Those that asked for the same are
 * as good as each other, so that the earliest is used first; and what could not be explained with few of them cannot be
 * with more.
 * @param operations  in the order of their invocations
 * @param start  what the lease is before the first of them
 */
export function linearize(operations: readonly Operation[], start: LeaseState = NO_LEASE): Verdict {
  const answered = operations.filter(({ outcome }) => outcome !== 'info');
  const kinds = kindsOf(operations.filter(({ outcome }) => outcome === 'info'));
  const seen = new Map<string, (readonly number[])[]>();
  let configurations = 0;
  const stack: Configuration[] = [{ first: 0, done: new Set(), used: kinds.map(() => 0), state: start }];
  let furthest = 0;
  for (;;) {
    const configuration = stack.pop();
    if (configuration === undefined) break;
    const { first, done, used, state } = configuration;
    if (first === answered.length) return { linearizable: true };
    const key = `${first} ${[...done].sort((one, other) => one - other).join()} ${stateKey(state)}`;
    const known = seen.get(key) ?? [];
    if (known.some((fewer) => fewer.every((count, kind) => count <= (used[kind] ?? 0)))) continue;
    seen.set(key, [...known, used]);
    configurations += 1;
    if (configurations > MOST_CONFIGURATIONS) return { undecided: true };
    const { candidates, earliestEnd } = open(answered, first, done);
    furthest = Math.max(furthest, ...candidates);
    // What is looked at last is tried first: answers before losses, and the earliest of them.
    for (const [kind, each] of kinds.entries()) {
      const next = each[used[kind] ?? 0];
      if (next === undefined || next.invokedAt > earliestEnd) continue;
      const more = used.map((count, at) => (at === kind ? count + 1 : count));
      for (const reached of steps(state, next)) stack.push({ first, done, used: more, state: reached });
    }
    for (const at of candidates.reverse()) {
      for (const reached of steps(state, answered[at] as Operation))
        stack.push({ ...advance(first, new Set(done).add(at)), used, state: reached });
    }
  }
  return { linearizable: false, stuckAt: answered[furthest] as Operation };
}

/** Lost operations by what they asked for, each kind in the order of their invocations. */
function kindsOf(lost: readonly Operation[]): Operation[][] {
  const kinds = new Map<string, Operation[]>();
  for (const operation of lost) {
    const { f, call } = operation;
    const name = `${f} ${call.nodeId} ${call.token}`;
    kinds.set(name, [...(kinds.get(name) ?? []), operation]);
  }
  return [...kinds.values()];
}

/** The answered operations that may come next: invoked before any that is still to come was completed. */
function open(
  answered: readonly Operation[],
  first: number,
  done: ReadonlySet<number>,
): { candidates: number[]; earliestEnd: number } {
  const candidates: number[] = [];
  let earliestEnd = Number.POSITIVE_INFINITY;
  for (let at = first; at < answered.length; at += 1) {
    const operation = answered[at] as Operation;
    if (operation.invokedAt > earliestEnd) break;
    if (done.has(at)) continue;
    candidates.push(at);
    earliestEnd = Math.min(earliestEnd, operation.completedAt);
  }
  return {
    candidates: candidates.filter((at) => (answered[at] as Operation).invokedAt <= earliestEnd),
    earliestEnd,
  };
}

/** Moves past what is done at the front, so that equal configurations look equal. */
function advance(from: number, done: Set<number>): Pick<Configuration, 'first' | 'done'> {
  let first = from;
  while (done.delete(first)) first += 1;
  return { first, done };
}
