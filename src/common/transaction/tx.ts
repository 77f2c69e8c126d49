import type { AuditEvent } from '../audit/audit-event.js';
import type { Models } from '../database/session.js';
import type { Sql } from '../database/sql.js';
import type { Actor } from '../request/actor.js';
import type { TouchFinder } from './ports.js';
import type { TxEvent } from './tx-events.js';

/** A transaction that only reads. Made by the transactor alone. */
export interface ReadTx {
  /** The database's time when the transaction opened, to the millisecond; it stands still while the clock is behind. */
  readonly now: Date;
  query<T>(statement: Sql): Promise<T[]>;
}

/** Marks what the transactor made; nothing else sets it. */
export const TRANSACTION: unique symbol = Symbol('transaction');

/** A transaction that changes something. Branded, so that the plain pool is not accepted where one is due. */
export interface Tx extends ReadTx {
  readonly [TRANSACTION]: true;
  readonly actor: Actor;
  /** Runs a statement in its turn without waiting for it: for those of which nobody needs the answer. Where it fails, so does
   *  whatever comes next, the commit at the latest, by the same error. */
  send(statement: Sql): void;
  /** Goes on without an answer that was asked for: it is waited for just before the commit, which fails if it does. */
  confirm(answer: Promise<unknown>): void;
  /** The database's time now, by `fabric_now()`: read it after a lock, since what was valid before the wait may be over. */
  clock(): Promise<Date>;
  /** Tells subscribers above of an effect; they act inside this transaction, and refuse it by throwing. */
  raise(event: TxEvent): Promise<void>;
  /** Adds events to those that the work returns: for subscribers, who return nothing. */
  audit(...events: AuditEvent[]): void;
  /** Says whose snapshot may have changed; settled before the commit. `shared`: in all of them, and nothing but what
   *  they have in common. */
  touch(clusterId: string, nodeIds: readonly string[] | 'all' | 'shared'): void;
  /** The same where whose it is can only be said in the end. One that is given again counts once. */
  touchFound(finder: TouchFinder): void;
  /** A new UUIDv7, known as made by this call when its plan is hashed. */
  newId(): string;
  /** Tells of another value that this call makes anew each time, such as a key: likewise left out of that hash. */
  made(value: string): void;
  /** Runs after the commit, and never if there is none; for nudges that may be lost. */
  afterCommit(effect: () => void): void;
  /** Compares `If-Match` of the request, if it has one, with the resource's current ETag; null: there is none yet.
   *  @throws stale */
  requireMatch(etag: string | null): void;
  /** The same for an ETag that costs a look, which is only taken when there is an `If-Match`. @throws stale */
  requireMatchOf(read: () => Promise<string | null>): Promise<void>;
}

/** A transaction of Prisma's: adds its models. */
export interface ModelTx extends Tx {
  readonly models: Models;
}
