import { Inject, Injectable } from '@nestjs/common';
import type { Logger } from 'pino';
import { Counter } from 'prom-client';
import { isRetryable, isTimeout, postgresRefusal } from '../database/postgres-errors.js';
import { statementOf } from '../database/session.js';
import { LOGGER } from '../observability/logger.js';
import { Metrics } from '../observability/metrics.js';
import { currentRequest } from '../request/request-context.js';

/**
 * Tells of transactions that got in each other's way: a deadlock, a serialization conflict, a wait for a lock that took
 * too long. Those that run again succeed, but each has cost somebody a second, and a circle of locks is a fault of this
 * service; so none of them is silent.
 */
@Injectable()
export class LockConflicts {
  private readonly counter: Counter<'sqlstate'>;

  constructor(
    @Inject(LOGGER) private readonly logger: Logger,
    metrics: Metrics,
  ) {
    this.counter = new Counter({
      name: 'fabric_transaction_conflicts_total',
      help: 'Transactions that ended by a deadlock (40P01), a serialization conflict (40001), or a lock or a statement that took too long (55P03, 57014), whether or not they ran again.',
      labelNames: ['sqlstate'],
      registers: [metrics.registry],
    });
  }

  /** @param runsAgain the same work is tried once more */
  note(error: unknown, runsAgain: boolean): void {
    const sqlState = postgresRefusal(error)?.sqlState;
    if (sqlState === undefined || !(isRetryable(error) || isTimeout(error))) return;
    this.counter.inc({ sqlstate: sqlState });
    const { where, detail } = error as { where?: unknown; detail?: unknown };
    const request = currentRequest();
    this.logger.warn(
      {
        ...{ sqlState, statement: statementOf(error), where, detail, runsAgain },
        ...{ operationId: request?.operationId ?? null, requestId: request?.requestId ?? null },
      },
      "transactions were in each other's way",
    );
  }
}
