import type { FailOver, Operation } from './history.js';
import { linearize } from './linearizability.js';
import { type Segment, segmentsOf } from './segments.js';

/** A rule that a history breaks, and where. */
export interface Violation {
  rule: 'tokens_grow' | 'one_holder' | 'no_success_after_loss' | 'hold_off' | 'linearizable' | 'undecided';
  connectionId: string;
  /** Indexes of entries of the history. */
  at: readonly number[];
  detail: string;
}

/** An owner period, as far as answers tell of it. */
interface Period {
  token: number;
  ownerId: string;
  /** Of the database's clock, in milliseconds. */
  beganAt: number;
  /** The answers that said until when it lasts, by the database's clock at which they were given. */
  promises: { serverTime: number; expiresAt: number; index: number }[];
}

/** Everything that one connection's operations break; fail-overs excuse what they may have made the database forget. */
export function violations(
  connectionId: string,
  operations: readonly Operation[],
  failOvers: readonly FailOver[] = [],
): Violation[] {
  const found = [
    ...tokensGrow(operations),
    ...oneHolder(operations),
    ...noSuccessAfterLoss(operations, failOvers),
    ...holdOff(operations, failOvers),
    ...segmentsOf(operations, failOvers).flatMap(explainable),
  ];
  return found.map((violation) => ({ connectionId, ...violation }));
}

type Found = Omit<Violation, 'connectionId'>;

/** A grant that was asked for after another had been answered has a higher token, and no two grants have the same. */
function tokensGrow(operations: readonly Operation[]): Found[] {
  const grants = operations.filter(isGrant);
  return grants.flatMap((later) =>
    grants
      .filter((earlier) => earlier !== later)
      .filter((earlier) =>
        tokenOf(earlier) === tokenOf(later)
          ? earlier.index < later.index
          : earlier.completedAt < later.invokedAt && tokenOf(earlier) > tokenOf(later),
      )
      .map((earlier) => ({
        rule: 'tokens_grow' as const,
        at: [earlier.index, later.index],
        detail: `token ${tokenOf(later)} was granted after ${tokenOf(earlier)}`,
      })),
  );
}

/** By the database's clock no owner period begins while another's promised time runs, unless something may have ended it. */
function oneHolder(operations: readonly Operation[]): Found[] {
  const periods = periodsOf(operations);
  return periods.flatMap((later) =>
    periods
      .filter((earlier) => earlier.token < later.token && !mayHaveBeenEnded(operations, earlier, later))
      .flatMap((earlier) =>
        earlier.promises
          .filter(({ serverTime, expiresAt }) => serverTime <= later.beganAt && expiresAt > later.beganAt)
          .map(({ index, expiresAt }) => ({
            rule: 'one_holder' as const,
            at: [index, ...later.promises.slice(0, 1).map((promise) => promise.index)],
            detail: `${later.ownerId} was granted ${later.token} at ${later.beganAt}, while ${earlier.token} was promised until ${expiresAt}`,
          })),
      ),
  );
}

/**
 * Who has heard that a token is lost, or that there is a later one, has no success with it any more; unless a database
 * decides that may never have got the loss.
 */
function noSuccessAfterLoss(operations: readonly Operation[], failOvers: readonly FailOver[]): Found[] {
  const losses = operations.filter(
    ({ outcome, answer }) => outcome === 'fail' && answer.code === 'lease_lost',
  );
  const successes = operations.filter(({ f, outcome }) => f === 'renew' && outcome === 'ok');
  return successes.flatMap((success) => {
    const token = success.call.token ?? 0;
    const precedes = (cause: Operation) =>
      cause.completedAt < success.invokedAt && !mayBeForgotten(cause, success, failOvers);
    const lost = losses.find((loss) => loss.call.token === token && precedes(loss));
    const later = operations.find((grant) => isGrant(grant) && tokenOf(grant) > token && precedes(grant));
    return [lost, later]
      .filter((cause) => cause !== undefined)
      .map((cause) => ({
        rule: 'no_success_after_loss' as const,
        at: [cause.index, success.index],
        detail: `token ${token} was renewed after it was lost`,
      }));
  });
}

/** Whether a database that decided over `later` may have lost what `earlier` did. */
function mayBeForgotten(earlier: Operation, later: Operation, failOvers: readonly FailOver[]): boolean {
  return failOvers.some(
    ({ replicatedUntil, promotedAt }) =>
      earlier.completedAt > replicatedUntil &&
      earlier.invokedAt < promotedAt &&
      later.completedAt > promotedAt,
  );
}

/** Until leases of which the new database does not know have run out, nobody new gets one from it. */
function holdOff(operations: readonly Operation[], failOvers: readonly FailOver[]): Found[] {
  return failOvers.flatMap(({ promotedAt, heldUntil }) =>
    operations
      .filter((grant) => isGrant(grant) && grant.invokedAt > promotedAt)
      .filter(({ answer }) => (answer.serverTime ?? 0) < heldUntil)
      .map((grant) => ({
        rule: 'hold_off' as const,
        at: [grant.index],
        detail: `token ${tokenOf(grant)} was granted at ${grant.answer.serverTime}, and takeovers are held until ${heldUntil}`,
      })),
  );
}

function explainable({ operations, start }: Segment): Found[] {
  const verdict = linearize(operations, start);
  if ('undecided' in verdict)
    return [{ rule: 'undecided', at: [], detail: 'the search for an order was given up' }];
  if (verdict.linearizable) return [];
  const { index, f, call, answer } = verdict.stuckAt;
  const detail = `no order of the operations explains ${f} ${JSON.stringify(call)}: ${JSON.stringify(answer)}`;
  return [{ rule: 'linearizable', at: [index], detail }];
}

function periodsOf(operations: readonly Operation[]): Period[] {
  const periods = new Map<number, Period>();
  for (const { f, outcome, answer, index } of operations) {
    const { token, nodeId, serverTime, expiresAt } = answer;
    if (outcome !== 'ok' || (f !== 'acquire' && f !== 'renew')) continue;
    if (token === undefined || nodeId === undefined || serverTime === undefined || expiresAt === undefined)
      continue;
    const period = periods.get(token) ?? { token, ownerId: nodeId, beganAt: serverTime, promises: [] };
    period.beganAt = Math.min(period.beganAt, serverTime);
    period.promises.push({ serverTime, expiresAt, index });
    periods.set(token, period);
  }
  return [...periods.values()];
}

/** A release, fence or loss of eligibility that may have come before `later` began. */
function mayHaveBeenEnded(
  operations: readonly Operation[],
  { token, ownerId }: Period,
  later: Period,
): boolean {
  const began = operations.filter(
    ({ f, outcome, answer }) => f === 'acquire' && outcome === 'ok' && answer.token === later.token,
  );
  const lastChance = Math.min(...began.map(({ completedAt }) => completedAt), Number.POSITIVE_INFINITY);
  return operations.some(({ f, outcome, call, invokedAt }) => {
    if (outcome === 'fail' || invokedAt > lastChance) return false;
    if (f === 'release') return call.token === token;
    if (f === 'fence') return call.token === undefined || call.token === token;
    return f === 'revoke' && call.nodeId === ownerId;
  });
}

function isGrant({ f, outcome, answer }: Operation): boolean {
  return f === 'acquire' && outcome === 'ok' && answer.isNew === true;
}

function tokenOf({ answer }: Operation): number {
  return answer.token ?? 0;
}
