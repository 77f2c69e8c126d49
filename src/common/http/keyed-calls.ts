import { Injectable } from '@nestjs/common';
import { Database } from '../database/database.js';
import { openSessionBeside } from '../database/session.js';
import type { RequestContext } from '../request/request-context.js';
import { OpenTransaction } from '../transaction/open-transaction.js';
import { IdempotencyStore, type StoredAnswer } from './idempotency-store.js';
import { PlanSlots } from './plan-slots.js';

/**
 * `Idempotency-Key` for calls that change something in other ways than through the transactor, such as heartbeats. The
 * key is held by a transaction of its own while the call runs, and that keeps the answer too. A crash between the
 * change and the answer lets the repeat run once more: such calls are harmless when they come twice.
 */
@Injectable()
export class KeyedCalls {
  constructor(
    private readonly database: Database,
    private readonly idempotency: IdempotencyStore,
    private readonly slots: PlanSlots,
  ) {}

  /** @throws Replay with the stored answer; conflict `idempotency_in_progress`; invalid `idempotency_key_reused` */
  async run(context: RequestContext, call: () => Promise<StoredAnswer>): Promise<StoredAnswer> {
    const claim = context.idempotency;
    if (claim === null) return call();
    // Like a plan, it holds one connection while it waits for another; a few at a time never wait in a circle.
    return this.slots.run(async () => {
      const session = await openSessionBeside(this.database, 'BEGIN');
      try {
        await OpenTransaction.begin(session);
        await this.idempotency.claim(session, claim);
        // Whatever the call does is done under this claim.
        context.idempotency = null;
        const answer = await call();
        if (answer.status >= 200 && answer.status < 300) await this.idempotency.store(session, claim, answer);
        await session.commit();
        return answer;
      } catch (error) {
        await session.rollback();
        throw error;
      }
    });
  }
}
