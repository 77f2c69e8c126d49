import { Injectable, type OnModuleInit } from '@nestjs/common';
import type { AuditEvent } from '../../common/audit/audit-event.js';
import { Jobs } from '../../common/jobs/jobs.js';
import { systemActor } from '../../common/request/actor.js';
import { Transactor } from '../../common/transaction/transactor.js';
import type { Tx } from '../../common/transaction/tx.js';
import { joinRequestEnded } from './join-request.js';
import { JoinRequestsRepository } from './join-requests.repository.js';
import { joinTokenExpired } from './join-token.js';
import { JoinTokensRepository } from './join-tokens.repository.js';

/** The job that writes down what has expired; a nudge names a request, but it takes all that are due. */
export const EXPIRY_JOB = { queue: 'enrollment', name: 'expiry' } as const;

const SWEEP_SECONDS = 60;
/** One transaction of a few milliseconds, whose events still fit into one statement. */
const BATCH = 500;

/** Writes down expired join requests and tokens, and gives uses back. Nothing waits for it: whoever reads or decides
 *  looks at the clock. */
@Injectable()
export class EnrollmentExpiry implements OnModuleInit {
  constructor(
    private readonly jobs: Jobs,
    private readonly transactor: Transactor,
    private readonly requests: JoinRequestsRepository,
    private readonly joinTokens: JoinTokensRepository,
  ) {}

  onModuleInit(): void {
    this.jobs.define({ ...EXPIRY_JOB, everySeconds: SWEEP_SECONDS, run: () => this.sweep() });
  }

  private async sweep(): Promise<void> {
    await this.inBatches(async (tx) => {
      const expired = await this.requests.expire(tx, BATCH);
      return expired.map((request) => joinRequestEnded(request, 'expired', 'Nobody decided in time.'));
    });
    await this.inBatches(async (tx) => (await this.joinTokens.noteExpired(tx, BATCH)).map(joinTokenExpired));
  }

  /** Until a batch is not full. */
  private async inBatches(step: (tx: Tx) => Promise<AuditEvent[]>): Promise<void> {
    for (let done = BATCH; done === BATCH; ) {
      done = await this.transactor.mutateDirect(systemActor('enrollment'), async (tx) => {
        const [first, ...rest] = await step(tx);
        if (first === undefined) return { result: 0, unchanged: true };
        return { result: rest.length + 1, events: [first, ...rest] };
      });
    }
  }
}
