import type { Operation } from './history.js';
import { type LeaseState, NO_LEASE, stateKey, steps } from './lease-model.js';

/** More configurations than this and the search gives up, which is neither a yes nor a no. */
const MOST_CONFIGURATIONS = 2_000_000;

/** Whether there is an order of the operations that explains all answers; otherwise the operation no order gets past. */
export type Verdict =
  | { linearizable: true }
  | { linearizable: false; stuckAt: Operation }
  | { undecided: true };

interface Configuration {
  /** Operations before it are all done; those done beyond it stand in `done`. */
  first: number;
  done: ReadonlySet<number>;
  state: LeaseState;
}

/**
 * Looks for an order of one connection's operations in which each takes effect at one instant between its invocation
 * and its completion, as the model allows (Wing and Gong's search with Lowe's memory of configurations). Operations
 * whose answer was lost may stand at any instant after their invocation, or nowhere.
 * @param operations  in the order of their invocations
 * @param start  what the lease is before the first of them
 */
export function linearize(operations: readonly Operation[], start: LeaseState = NO_LEASE): Verdict {
  const seen = new Set<string>();
  const stack: Configuration[] = [{ first: 0, done: new Set(), state: start }];
  let furthest = -1;
  for (;;) {
    const configuration = stack.pop();
    if (configuration === undefined) break;
    if (seen.size > MOST_CONFIGURATIONS) return { undecided: true };
    const { first, done, state } = configuration;
    const candidates = open(operations, first, done);
    if (candidates.every((at) => operations[at]?.outcome === 'info')) return { linearizable: true };
    furthest = Math.max(furthest, ...candidates.filter((at) => operations[at]?.outcome !== 'info'));
    for (const at of candidates.reverse()) {
      const operation = operations[at] as Operation;
      for (const next of steps(state, operation)) {
        const reached = advance(operations, first, new Set(done).add(at), next);
        const key = `${reached.first} ${[...reached.done].sort((one, other) => one - other).join()} ${stateKey(next)}`;
        if (seen.has(key)) continue;
        seen.add(key);
        stack.push(reached);
      }
    }
  }
  return { linearizable: false, stuckAt: operations[furthest] as Operation };
}

/** The operations that may come next: invoked before any that is still to come was completed. */
function open(operations: readonly Operation[], first: number, done: ReadonlySet<number>): number[] {
  const candidates: number[] = [];
  let earliestEnd = Number.POSITIVE_INFINITY;
  for (let at = first; at < operations.length; at += 1) {
    const operation = operations[at] as Operation;
    if (operation.invokedAt > earliestEnd) break;
    if (done.has(at)) continue;
    candidates.push(at);
    earliestEnd = Math.min(earliestEnd, operation.completedAt);
  }
  return candidates.filter((at) => (operations[at] as Operation).invokedAt <= earliestEnd);
}

/** Moves past what is done at the front, so that equal configurations look equal. */
function advance(
  operations: readonly Operation[],
  from: number,
  done: Set<number>,
  state: LeaseState,
): Configuration {
  let first = from;
  while (first < operations.length && done.delete(first)) first += 1;
  return { first, done, state };
}
