import type { AuditEvent } from '../../common/audit/audit-event.js';
import type { AuditCircumstances } from '../../common/audit/audit-writer.js';
import { Batches } from '../../common/batching/batches.js';
import { isUnavailable } from '../../common/database/postgres-errors.js';
import { DomainError } from '../../common/errors/domain-error.js';
import type { Actor } from '../../common/request/actor.js';
import { currentRequest, type RequestContext } from '../../common/request/request-context.js';
import { mayShare } from '../../common/transaction/transactor.js';
import type { Tx } from '../../common/transaction/tx.js';
import type { LeaseTransactions } from './lease-transactions.js';

/** What came of a call, or what refuses it; `alone`: it has to go on by itself. */
export type Answer<Result> = { result: Result } | DomainError | 'alone';

/** The same of a call that has changed something, with what is to be told of it. */
export type Decision<Result> = { result: Result; events: readonly AuditEvent[] } | DomainError | 'alone';

/** How calls of one kind share transactions. What an ask has no answer of goes on alone. */
export interface Sharing<Ask, Result> {
  transactions: LeaseTransactions;
  /** Two of one name never share a transaction. */
  nameOf(ask: Ask): string;
  /** Answers before any lock and outside of a transaction what needs none. All asks are of one cluster. */
  look?(clusterId: string, asks: readonly Ask[]): Promise<Map<Ask, Answer<Result>>>;
  /** Decides the rest in one transaction, and waits for nobody in it but who holds the whole cluster. */
  decide(tx: Tx, clusterId: string, asks: readonly Ask[]): Promise<Map<Ask, Decision<Result>>>;
}

interface Call<Ask> {
  ask: Ask;
  by: AuditCircumstances;
  request: RequestContext;
}

/** What became of a call: an error may be the database's too. */
type Outcome<Result> = Answer<Result> | Error;

/** Calls that wait this long, in milliseconds, share one commit. */
const GATHER_MS = 3;
/** One transaction of some ten milliseconds. */
const BATCH = 200;
/** Batches on their way at a time, so that leases leave the pool to others. */
const MAX_WRITES = 2;
const MAX_WAITING = 20_000;

/**
 * Lets calls of nodes that begin or end leases share transactions: one commit, and one look at each table. Whatever is
 * not plain is left to a transaction of the call's own: a connection or node at which somebody is busy, a refusal that
 * has to be written down first, and an error that may be the fault of one call alone.
 */
export class SharedLeaseCalls<Ask extends { clusterId: string }, Result> {
  private readonly batches: Batches<Call<Ask>, Outcome<Result>>;

  constructor(private readonly sharing: Sharing<Ask, Result>) {
    this.batches = new Batches<Call<Ask>, Outcome<Result>>({
      keyOf: ({ ask }) => sharing.nameOf(ask),
      write: (calls) => this.answerAll(calls),
      gatherMs: GATHER_MS,
      size: BATCH,
      maxWrites: MAX_WRITES,
      maxWaiting: MAX_WAITING,
    });
  }

  /** What came of the call, durable; null: it has to go on alone. @throws what refuses it */
  async make(request: RequestContext, actor: Actor, ask: Ask): Promise<Result | null> {
    const { requestId, highRisk } = request;
    const outcome = await this.batches.add({ ask, request, by: { actor, requestId, highRisk } });
    if (outcome instanceof Error) throw outcome;
    return outcome === null || outcome === 'alone' ? null : outcome.result;
  }

  private async answerAll(calls: readonly Call<Ask>[]): Promise<Map<string, Outcome<Result>>> {
    const outcomes = new Map<string, Outcome<Result>>();
    for (const clusterId of new Set(calls.map(({ ask }) => ask.clusterId))) {
      const ofCluster = calls.filter(({ ask }) => ask.clusterId === clusterId);
      for (const [ask, outcome] of await this.answerCluster(clusterId, ofCluster))
        outcomes.set(this.sharing.nameOf(ask), outcome);
    }
    return outcomes;
  }

  private async answerCluster(
    clusterId: string,
    calls: readonly Call<Ask>[],
  ): Promise<Map<Ask, Outcome<Result>>> {
    const outcomes = new Map<Ask, Outcome<Result>>();
    const open = () => calls.filter(({ ask }) => !outcomes.has(ask));
    try {
      const asks = calls.map(({ ask }) => ask);
      for (const [ask, answer] of (await this.sharing.look?.(clusterId, asks)) ?? [])
        outcomes.set(ask, answer);
      const [first, ...others] = open();
      if (first === undefined) return outcomes;
      for (const [ask, outcome] of await this.decideTogether(clusterId, [first, ...others]))
        outcomes.set(ask, outcome);
    } catch (error) {
      // What refuses the transaction refuses all; anything else may be one call's fault, and is found out alone.
      if (error instanceof DomainError || (error instanceof Error && isUnavailable(error)))
        for (const { ask } of open()) outcomes.set(ask, error);
    }
    return outcomes;
  }

  private decideTogether(
    clusterId: string,
    [first, ...others]: readonly [Call<Ask>, ...Call<Ask>[]],
  ): Promise<Map<Ask, Decision<Result>>> {
    const { transactions, decide } = this.sharing;
    const calls = [first, ...others];
    const requests = [first.request, ...others.map(({ request }) => request)] as const;
    return transactions.together(requests, async (tx) => {
      const decisions = await decide(
        tx,
        clusterId,
        calls.map(({ ask }) => ask),
      );
      const events = calls.flatMap(({ ask, by }) =>
        eventsOf(decisions.get(ask)).map((event) => ({ event, by })),
      );
      return { result: decisions, events };
    });
  }
}

/** The request that is being answered, where its call may share a transaction. */
export function sharableRequest(): RequestContext | null {
  const request = currentRequest();
  return request !== undefined && mayShare(request) ? request : null;
}

function eventsOf(decision: Decision<unknown> | undefined): readonly AuditEvent[] {
  return typeof decision === 'object' && 'events' in decision ? decision.events : [];
}
