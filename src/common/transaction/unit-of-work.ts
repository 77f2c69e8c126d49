import type { Session } from '../database/session.js';
import { sql } from '../database/sql.js';
import { inSpan, ON_POSTGRES } from '../observability/spans.js';
import type { Touched } from './ports.js';
import type { Tx } from './tx.js';

/** A mutation that is done but not committed. */
export interface PendingMutation {
  readonly session: Session;
  readonly tx: Tx;
  readonly touched: Touched;
  /** Ids made by the call, in order. */
  readonly newIds: readonly string[];
  readonly afterCommit: readonly (() => void)[];
}

/**
 * The transaction of one HTTP request that changes something. The transactor leaves it open when the work is done;
 * whoever answers the request ends it, so that change and stored answer commit together, and a dry run leaves
 * nothing behind.
 */
export class UnitOfWork {
  private pending: PendingMutation | null = null;

  /** Called by the transactor once, when the work is done. */
  suspend(mutation: PendingMutation): void {
    if (this.pending !== null) throw new Error('one request makes one mutation');
    this.pending = mutation;
  }

  /** The mutation that waits for its end; null when the request has made none. */
  get mutation(): PendingMutation | null {
    return this.pending;
  }

  /** Commits, then runs the effects that were asked for after it. */
  async commit(): Promise<void> {
    const mutation = this.take();
    if (mutation === null) return;
    await inSpan('transaction commit', ON_POSTGRES, () => mutation.session.commit());
    for (const effect of mutation.afterCommit) effect();
  }

  /** Undoes everything; harmless when there is nothing. */
  async rollback(): Promise<void> {
    await this.take()?.session.rollback();
  }

  /** Makes constraints that wait for the commit speak now, for a dry run that never gets there. */
  async checkDeferredConstraints(): Promise<void> {
    await this.pending?.session.query(sql`SET CONSTRAINTS ALL IMMEDIATE`);
  }

  private take(): PendingMutation | null {
    const mutation = this.pending;
    this.pending = null;
    return mutation;
  }
}
