import { Injectable } from '@nestjs/common';
import { isTimeout } from '../../common/database/postgres-errors.js';
import { unavailable } from '../../common/errors/domain-error.js';
import { type Actor, systemActor } from '../../common/request/actor.js';
import type { RequestContext } from '../../common/request/request-context.js';
import { type Observed, type Outcome, type Shared, Transactor } from '../../common/transaction/transactor.js';
import type { Tx } from '../../common/transaction/tx.js';
import { Turns } from '../../common/waiting/turns.js';

/** Longest wait for the connection's turn, and then for its lock (specification of the lease path: 2 s, then 503). */
const PATIENCE_MS = 2_000;
const RETRY_AFTER_SECONDS = 1;
/** Of the 20 connections of the pool, so that heartbeats and probes find one, however many leases are fought for. */
const AT_ONCE = 8;

/**
 * Runs what may begin or end a lease: one transaction at a time for a connection and instance. A crowd that wants one
 * connection waits in the process and not on the pool.
 */
@Injectable()
export class LeaseTransactions {
  private readonly turns = new Turns({
    atOnce: AT_ONCE,
    waitMs: PATIENCE_MS,
    retryAfterSeconds: RETRY_AFTER_SECONDS,
  });

  constructor(private readonly transactor: Transactor) {}

  /**
   * @param look refuses, by throwing, what needs no transaction any more when its turn has come after a wait
   * @throws unavailable when somebody else is at the connection for too long
   */
  run<R>(
    actor: Actor,
    connectionId: string,
    work: (tx: Tx) => Promise<Outcome<R>>,
    look?: () => Promise<void>,
  ): Promise<R> {
    return this.turns.run(connectionId, async (hasWaited) => {
      if (hasWaited) await look?.();
      return this.atOnce(actor, work);
    });
  }

  /** The same without a turn: for who must not wait behind a crowd. */
  atOnce<R>(actor: Actor, work: (tx: Tx) => Promise<Outcome<R>>): Promise<R> {
    return patiently(() => this.transactor.mutateDirect(actor, work, RUNNING));
  }

  /** What requests of several nodes want, of several connections, in one transaction: it waits for none of these. */
  together<R>(
    requests: readonly [RequestContext, ...RequestContext[]],
    work: (tx: Tx) => Promise<Shared<R>>,
  ): Promise<R> {
    return patiently(() =>
      this.transactor.mutateTogether(systemActor('vpn-leases'), requests, work, RUNNING),
    );
  }

  /** For what a node reports of its lease: nobody's act. */
  observe<R>(connectionId: string, work: (tx: Tx) => Promise<Observed<R>>): Promise<R> {
    return this.turns.run(connectionId, () =>
      patiently(() => this.transactor.observe(systemActor('vpn-leases'), work, RUNNING)),
    );
  }
}

const RUNNING = { lockTimeoutMs: PATIENCE_MS, prepares: true };

async function patiently<R>(work: () => Promise<R>): Promise<R> {
  try {
    return await work();
  } catch (error) {
    if (!isTimeout(error)) throw error;
    throw unavailable('unavailable', 'Somebody else is at this connection for too long.', {
      cause: error,
      retryAfterSeconds: RETRY_AFTER_SECONDS,
    });
  }
}
