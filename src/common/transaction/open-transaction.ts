import type { AuditEvent } from '../audit/audit-event.js';
import type { Models, Session } from '../database/session.js';
import { empty, type Sql, sql } from '../database/sql.js';
import { stale } from '../errors/domain-error.js';
import { matchesIfMatch } from '../http/etag.js';
import { newId } from '../ids/uuid.js';
import type { Actor } from '../request/actor.js';
import { currentRequest } from '../request/request-context.js';
import type { TouchedNodes, TouchFinder } from './ports.js';
import { type ModelTx, TRANSACTION } from './tx.js';
import type { TxEvent, TxEvents } from './tx-events.js';
import type { PendingMutation } from './unit-of-work.js';

/** A transaction that may sit idle longer than this has lost its process. Set here, since poolers refuse it at connect. */
const IDLE_TIMEOUT = '30s';
const LIMITS: Limits = { lockTimeoutMs: 5_000, statementTimeoutMs: 20_000 };
/** Who only wants to know steps aside sooner. */
const LIMITS_OF_A_PLAN: Limits = { lockTimeoutMs: 2_000, statementTimeoutMs: 10_000 };

/** What takes a list of ids would be planned anew each time otherwise, even by name: for one id the plan looks cheaper than
 *  that for any number. */
const PLANS_ONCE = sql`, set_config('plan_cache_mode', 'force_generic_plan', true) AS p`;

/** How long one statement may wait for a lock, and run. */
interface Limits {
  lockTimeoutMs: number;
  statementTimeoutMs: number;
}

/** The transactor's own view of a transaction: what `work` sees as {@link ModelTx}, and how it ends. */
export class OpenTransaction implements ModelTx {
  readonly [TRANSACTION] = true;
  readonly touched = new Map<string, TouchedNodes>();
  readonly finders = new Set<TouchFinder>();
  /** Events that subscribers have added. */
  readonly audited: AuditEvent[] = [];
  private readonly newIds: string[] = [];
  private readonly effects: (() => void)[] = [];
  private readonly unconfirmed: Promise<unknown>[] = [];
  private matchChecked = false;

  constructor(
    private readonly session: Session,
    readonly actor: Actor,
    readonly now: Date,
    private readonly events: TxEvents,
  ) {}

  /** First statement of every transaction: its limits, and the database's time, which never goes back. */
  static async begin(session: Session, lockTimeoutMs = LIMITS.lockTimeoutMs): Promise<Date> {
    const limits = currentRequest()?.dryRun === true ? LIMITS_OF_A_PLAN : { ...LIMITS, lockTimeoutMs };
    const [row] = await session.query<{ now: Date }>(sql`
      SELECT greatest(date_trunc('milliseconds', now()), (SELECT c.recorded_at FROM database_clock AS c)) AS now,
             set_config('lock_timeout', ${String(limits.lockTimeoutMs)}, true) AS l,
             set_config('statement_timeout', ${String(limits.statementTimeoutMs)}, true) AS s,
             set_config('idle_in_transaction_session_timeout', ${IDLE_TIMEOUT}, true) AS i
             ${session.prepares ? PLANS_ONCE : empty}`);
    if (row === undefined) throw new Error('the database did not tell the time');
    return row.now;
  }

  get models(): Models {
    if (this.session.models === null) throw new Error('a direct transaction has no models');
    return this.session.models;
  }

  query<T>(statement: Sql): Promise<T[]> {
    return this.session.query<T>(statement);
  }

  send(statement: Sql): void {
    this.session.send(statement);
  }

  async clock(): Promise<Date> {
    const [row] = await this.query<{ now: Date }>(sql`SELECT fabric_now() AS now`);
    if (row === undefined) throw new Error('the database did not tell the time');
    return row.now;
  }

  raise(event: TxEvent): Promise<void> {
    return this.events.dispatch(this, event);
  }

  audit(...events: AuditEvent[]): void {
    this.audited.push(...events);
  }

  touch(clusterId: string, nodeIds: readonly string[] | 'all' | 'shared'): void {
    const known = this.touched.get(clusterId);
    const next = typeof nodeIds === 'string' ? nodeIds : new Set(nodeIds);
    this.touched.set(clusterId, known === undefined ? next : together(known, next));
  }

  touchFound(finder: TouchFinder): void {
    this.finders.add(finder);
  }

  newId(): string {
    const id = newId();
    this.newIds.push(id);
    return id;
  }

  made(value: string): void {
    this.newIds.push(value);
  }

  afterCommit(effect: () => void): void {
    this.effects.push(effect);
  }

  requireMatch(etag: string | null): void {
    this.matchChecked = true;
    const ifMatch = currentRequest()?.ifMatch ?? null;
    if (ifMatch === null || matchesIfMatch(ifMatch, etag)) return;
    throw stale(
      'precondition_failed',
      'The resource has changed since it was read: If-Match names another revision.',
    );
  }

  async requireMatchOf(read: () => Promise<string | null>): Promise<void> {
    this.requireMatch((currentRequest()?.ifMatch ?? null) === null ? null : await read());
  }

  /** A route that takes `If-Match` and forgets to look at it would overwrite what somebody else wrote. */
  assertMatchWasChecked(): void {
    const request = currentRequest();
    if (request === undefined || request.ifMatch === null || this.matchChecked || request.method === 'POST')
      return;
    throw new Error(`${request.operationId ?? request.path} does not check If-Match`);
  }

  suspended(): PendingMutation {
    const { session, touched, newIds, effects } = this;
    return { session, tx: this, touched, newIds, afterCommit: effects };
  }

  async commit(): Promise<void> {
    await this.session.commit();
    for (const effect of this.effects) effect();
  }

  confirm(answer: Promise<unknown>): void {
    // It is heard of when it is waited for.
    answer.catch(() => undefined);
    this.unconfirmed.push(answer);
  }

  /** Waits for what is to be confirmed before the commit. */
  async confirmed(): Promise<void> {
    await Promise.all(this.unconfirmed);
  }

  /** Waits for what was sent. */
  settled(): Promise<void> {
    return this.session.settled();
  }

  rollback(): Promise<void> {
    return this.session.rollback();
  }
}

/** What two touches of a cluster come to. What is shared and some nodes besides is everything. */
function together(one: TouchedNodes, other: TouchedNodes): TouchedNodes {
  if (typeof one !== 'string' && typeof other !== 'string') return new Set([...one, ...other]);
  return one === other ? one : 'all';
}
