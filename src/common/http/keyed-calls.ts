import { Injectable } from '@nestjs/common';
import { Database } from '../database/database.js';
import { openSessionBeside } from '../database/session.js';
import type { RequestContext } from '../request/request-context.js';
import { OpenTransaction } from '../transaction/open-transaction.js';
import { Slots } from '../waiting/slots.js';
import { IdempotencyStore, type StoredAnswer } from './idempotency-store.js';

/**
 * Each holds a connection of the small pool beside the large one while it waits for one of that. Half of the small pool:
 * with all of it they would wait in a circle for those who hold one of the large pool and want to look beside.
 */
const KEYED = { atOnce: 2, waitMs: 15_000, retryAfterSeconds: 1 };

/**
 * `Idempotency-Key` for calls that change something in other ways than through the transactor, such as heartbeats. The
 * key is held by a transaction of its own while the call runs, and that keeps the answer too. A crash between the
 * change and the answer lets the repeat run once more: such calls are harmless when they come twice.
 */
@Injectable()
export class KeyedCalls {
  private readonly slots = new Slots(KEYED);

  constructor(
    private readonly database: Database,
    private readonly idempotency: IdempotencyStore,
  ) {}

  /** @throws Replay with the stored answer; conflict `idempotency_in_progress`; invalid `idempotency_key_reused` */
  async run(context: RequestContext, call: () => Promise<StoredAnswer>): Promise<StoredAnswer> {
    const claim = context.idempotency;
    if (claim === null) return call();
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
