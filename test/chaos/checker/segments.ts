import type { FailOver, Operation } from './history.js';
import { forgotten, type LeaseState, NO_LEASE } from './lease-model.js';

/** A stretch of one connection's history in which one database decided, and what was known of the lease before it. */
export interface Segment {
  operations: readonly Operation[];
  start: LeaseState;
}

/**
 * The history between fail-overs. A database that has lost an unknown end of what was committed keeps the rules from
 * there on, whatever it still knows; what nobody may have lost is carried over: no token is given again, and no decision
 * comes before one that had reached the standby. What was on its way during a fail-over may have taken effect before it,
 * after it, or not at all.
 */
export function segmentsOf(operations: readonly Operation[], failOvers: readonly FailOver[]): Segment[] {
  const segments: Segment[] = [];
  let rest = operations;
  let start = NO_LEASE;
  for (const failOver of failOvers) {
    const { lostAt, promotedAt } = failOver;
    const before = rest.filter(({ invokedAt }) => invokedAt < lostAt);
    segments.push({
      operations: before.map((each) => (each.completedAt > promotedAt ? lost(each) : each)),
      start,
    });
    rest = rest
      .filter(({ completedAt }) => completedAt > promotedAt)
      .map((each) => (each.invokedAt < lostAt ? lost(each) : each));
    start = knownAfter(before, failOver, start);
  }
  return [...segments, { operations: rest, start }];
}

/** The operation as one of which nobody knows whether it happened. */
function lost(operation: Operation): Operation {
  return { ...operation, outcome: 'info', answer: {}, completedAt: Number.POSITIVE_INFINITY };
}

function knownAfter(
  operations: readonly Operation[],
  { replicatedUntil }: FailOver,
  start: LeaseState,
): LeaseState {
  const told = operations.filter(({ outcome }) => outcome === 'ok');
  const tokens = told.flatMap(({ answer }) => [answer.token ?? 0, answer.above ?? 0]);
  const decided = told.filter(({ f, completedAt, answer }) => {
    const isLook = f === 'acquire' && answer.isNew !== true;
    return completedAt <= replicatedUntil && !isLook;
  });
  const released = operations
    .filter(({ f, outcome }) => f === 'release' && outcome !== 'fail')
    .flatMap(({ call }) => (call.token === undefined ? [] : [call.token]));
  return forgotten(
    Math.max(start.above, ...tokens),
    Math.max(start.clock, ...decided.map(({ answer }) => answer.serverTime ?? 0)),
    [...start.released, ...released],
  );
}
