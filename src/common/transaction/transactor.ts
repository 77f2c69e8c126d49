import { Inject, Injectable } from '@nestjs/common';
import type { AuditEvent, AuditEvents } from '../audit/audit-event.js';
import { type CausedEvent, writeAuditEvents } from '../audit/audit-writer.js';
import { WAKE_UPS } from '../changes/tokens.js';
import type { WakeUps } from '../changes/wake-up.js';
import { Database } from '../database/database.js';
import { isRetryable } from '../database/postgres-errors.js';
import { openDirectSession, openModelSession, type Session } from '../database/session.js';
import { IdempotencyStore } from '../http/idempotency-store.js';
import { inSpan, ON_POSTGRES } from '../observability/spans.js';
import type { Actor } from '../request/actor.js';
import { currentRequest, type RequestContext, runOutsideRequests } from '../request/request-context.js';
import { LockConflicts } from './lock-conflicts.js';
import { OpenTransaction } from './open-transaction.js';
import { SNAPSHOT_PORT, type SnapshotPort, TRANSACTION_GATE, type TransactionGate } from './ports.js';
import type { ModelTx, ReadTx, Tx } from './tx.js';
import { TxEvents } from './tx-events.js';

/** What a mutation comes to: its result with its audit events, or an idempotent repeat that changed nothing. */
export type Outcome<R> = { result: R; events: AuditEvents } | { result: R; unchanged: true };

/** What an observation comes to; events are optional, since a heartbeat is no audit event. */
export interface Observed<R> {
  result: R;
  events?: readonly AuditEvent[];
  /** Events of which each has its own circumstances: what several requests have said, taken in together. */
  caused?: readonly CausedEvent[];
}

/** What the calls that share a transaction come to, each event with the circumstances of its own call. */
export interface Shared<R> {
  result: R;
  events: readonly CausedEvent[];
}

/** How a transaction runs. */
export interface Running {
  /** Longest wait for a lock (default 5 s). */
  lockTimeoutMs?: number;
  /** A hot path, whose few statements Postgres plans once for each connection. */
  prepares?: boolean | undefined;
}

/** Retries of a transaction that lost a deadlock or a serialization conflict. */
const ATTEMPTS = 4;

/**
 * The only way to change something. The change, its audit events, the generation of every snapshot that it changes,
 * its rows in the change feed and the answer kept for its idempotency key commit together or not at all.
 *
 * `work` may run again from the start, so it touches nothing but `tx`; secrets are made before it starts.
 */
@Injectable()
export class Transactor {
  constructor(
    private readonly database: Database,
    private readonly events: TxEvents,
    private readonly idempotency: IdempotencyStore,
    @Inject(WAKE_UPS) private readonly wakeUps: WakeUps,
    @Inject(SNAPSHOT_PORT) private readonly snapshots: SnapshotPort,
    @Inject(TRANSACTION_GATE) private readonly gate: TransactionGate,
    private readonly conflicts: LockConflicts,
  ) {}

  /** Runs `work` in a transaction of Prisma's. Inside a mutating request the commit waits for the answer. */
  mutate<R>(actor: Actor, work: (tx: ModelTx) => Promise<Outcome<R>>): Promise<R> {
    return this.run(actor, () => openModelSession(this.database), work);
  }

  /** The same on `pg`, for leases, heartbeats, token spends, and changes of one node. */
  mutateDirect<R>(
    actor: Actor,
    work: (tx: Tx) => Promise<Outcome<R>>,
    { lockTimeoutMs, prepares }: Running = {},
  ): Promise<R> {
    const open = () => openDirectSession(this.database, 'BEGIN', { prepares });
    return this.run(actor, open, work, lockTimeoutMs);
  }

  /** For what nodes report about themselves: on `pg`, events optional, never waits for the answer. */
  observe<R>(
    actor: Actor,
    work: (tx: Tx) => Promise<Observed<R>>,
    { lockTimeoutMs, prepares }: Running = {},
  ): Promise<R> {
    return this.retrying('transaction observe', async () => {
      const session = await openDirectSession(this.database, 'BEGIN', { prepares });
      const open = await this.open(actor, session, lockTimeoutMs);
      return this.ending(open, async () => {
        const { result, events = [], caused = [] } = await work(open);
        await this.flush(open, [...causedHere(open, events), ...caused]);
        await open.commit();
        return result;
      });
    });
  }

  /**
   * What several requests want of one cluster, in one transaction on `pg`: one commit makes all of it durable, and each
   * is answered after that. They are of one operation and carry nothing that wants a transaction of its own
   * ({@link mayShare}), so that the gate lets all in or none. What `work` cannot do for one of them it leaves undone; an
   * error undoes all.
   */
  mutateTogether<R>(
    actor: Actor,
    [first, ...others]: readonly [RequestContext, ...RequestContext[]],
    work: (tx: Tx) => Promise<Shared<R>>,
    { lockTimeoutMs, prepares }: Running = {},
  ): Promise<R> {
    const isOne = ({ operationId, clusterId }: RequestContext) =>
      operationId === first.operationId && clusterId === first.clusterId;
    if (![first, ...others].every((request) => mayShare(request) && isOne(request)))
      throw new Error('these requests cannot share a transaction');
    const attempt = async () => {
      const session = await openDirectSession(this.database, 'BEGIN', { prepares });
      const open = await this.open(actor, session, lockTimeoutMs);
      return this.ending(open, async () => {
        await this.gate.enter(open, first);
        const { result, events } = await work(open);
        await this.flush(open, events);
        await open.commit();
        return result;
      });
    };
    return runOutsideRequests(() => this.retrying('transaction mutate', attempt));
  }

  /** Writes one event in a transaction of its own: the denied or failed attempt that commits nothing else. */
  async record(actor: Actor, event: AuditEvent): Promise<void> {
    await this.observe(actor, async () => ({ result: undefined, events: [event] }));
  }

  /** Reads at one instant: every statement of `work` sees the same database. Inside a request that has made its
   *  mutation, the same as that mutation sees: what it did is not committed yet. */
  async read<R>(work: (tx: ReadTx) => Promise<R>): Promise<R> {
    const mutation = currentRequest()?.unit?.mutation ?? null;
    if (mutation !== null) return work(mutation.tx);
    return inSpan('transaction read', ON_POSTGRES, async () => {
      const session = await openDirectSession(
        this.database,
        'BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY',
      );
      try {
        const now = await OpenTransaction.begin(session);
        return await work({ now, query: (statement) => session.query(statement) });
      } finally {
        await session.rollback();
      }
    });
  }

  private run<R>(
    actor: Actor,
    openSession: () => Promise<Session>,
    work: (tx: ModelTx) => Promise<Outcome<R>>,
    lockTimeoutMs?: number,
  ): Promise<R> {
    return this.retrying('transaction mutate', async () => {
      const open = await this.open(actor, await openSession(), lockTimeoutMs);
      return this.ending(open, async () => {
        const request = currentRequest();
        if (request !== undefined) {
          if (request.idempotency !== null) await this.idempotency.claim(open, request.idempotency);
          await this.gate.enter(open, request);
        }
        const outcome = await work(open);
        open.assertMatchWasChecked();
        await this.flush(open, causedHere(open, 'events' in outcome ? outcome.events : []));
        const unit = request?.unit ?? null;
        if (unit === null) await open.commit();
        else {
          // What is to be tried again has to fail here.
          await open.settled();
          unit.suspend(open.suspended());
        }
        return outcome.result;
      });
    });
  }

  private async open(actor: Actor, session: Session, lockTimeoutMs?: number): Promise<OpenTransaction> {
    try {
      const now = await OpenTransaction.begin(session, lockTimeoutMs);
      return new OpenTransaction(session, actor, now, this.events);
    } catch (error) {
      await session.rollback();
      throw error;
    }
  }

  private async flush(open: OpenTransaction, returned: readonly CausedEvent[]): Promise<void> {
    const events = [...returned, ...causedHere(open, open.audited)];
    // A plan shows the changes without numbering them: what numbers keeps others waiting.
    const isPlanned = currentRequest()?.dryRun ?? false;
    const isTouched = open.touched.size + open.finders.size > 0;
    if (events.length > 0) writeAuditEvents(open, events);
    if (isTouched && !isPlanned) await this.snapshots.settle(open, open.touched, [...open.finders]);
    if (isPlanned) await touchFound(open);
    // Asked for before, and so answered by now.
    await open.confirmed();
    // Nothing else writes into the feed.
    if (events.length > 0 || open.touched.size > 0) open.afterCommit(() => this.wakeUps.announce());
  }

  private async ending<R>(open: OpenTransaction, work: () => Promise<R>): Promise<R> {
    try {
      return await work();
    } catch (error) {
      await open.rollback();
      throw error;
    }
  }

  /** Each attempt is a span of its own, so that a trace shows what waiting for locks cost. */
  private async retrying<R>(name: string, attempt: () => Promise<R>): Promise<R> {
    for (let left = ATTEMPTS - 1; ; left--) {
      try {
        return await inSpan(name, ON_POSTGRES, attempt);
      } catch (error) {
        const runsAgain = left > 0 && isRetryable(error);
        this.conflicts.note(error, runsAgain);
        if (!runsAgain) throw error;
      }
    }
  }
}

/** Whether the request carries nothing that a transaction of its own is needed for. */
export function mayShare({ idempotency, dryRun, planHash, ifMatch }: RequestContext): boolean {
  return idempotency === null && !dryRun && planHash === null && ifMatch === null;
}

/** Touches whom a plan would change, as far as that shows without keeping anybody from anything. */
async function touchFound(open: OpenTransaction): Promise<void> {
  for (const finder of open.finders)
    for (const clusterId of await finder.clusters(open))
      open.touch(clusterId, await finder.nodes(open, clusterId));
}

/** What a transaction of one call tells was caused by its actor, in the request that is being answered. */
function causedHere({ actor }: OpenTransaction, events: readonly AuditEvent[]): CausedEvent[] {
  const request = currentRequest();
  const by = { actor, requestId: request?.requestId ?? null, highRisk: request?.highRisk ?? false };
  return events.map((event) => ({ event, by }));
}
