import { Injectable, type OnModuleInit } from '@nestjs/common';
import type { AuditEvent } from '../../common/audit/audit-event.js';
import { Jobs } from '../../common/jobs/jobs.js';
import { systemActor } from '../../common/request/actor.js';
import { Transactor } from '../../common/transaction/transactor.js';
import { ended, isInForce } from './lease.js';
import { leaseEnded } from './lease-events.js';
import { LeaseLapses } from './lease-lapses.js';
import { LeasesRepository } from './leases.repository.js';

/** The job that writes down what has expired; a nudge names a connection. */
export const EXPIRY_JOB = { queue: 'vpn', name: 'lease-expiry' } as const;

/** How late the expiry of a lease that was renewed is written down, at the most, and told to who waits for it. */
const SWEEP_SECONDS = 5;
/** One transaction of a few milliseconds, whose events still fit into one statement. */
const BATCH = 500;

/**
 * Writes down that leases are over. Nothing waits for it: whoever reads or decides looks at the clock, and an
 * acquisition writes down the end of what it follows. It makes the end known, by the audit log and the feed.
 */
@Injectable()
export class LeaseExpiry implements OnModuleInit {
  constructor(
    private readonly jobs: Jobs,
    private readonly transactor: Transactor,
    private readonly leases: LeasesRepository,
    private readonly lapses: LeaseLapses,
  ) {}

  onModuleInit(): void {
    this.jobs.define({
      ...EXPIRY_JOB,
      everySeconds: SWEEP_SECONDS,
      run: async (connectionId) => {
        if (connectionId !== null) await this.note(connectionId);
        else await this.sweep();
      },
    });
  }

  private async sweep(): Promise<void> {
    // First the brake: what is written down is told, and whoever waits for it comes.
    await this.lapses.sweep();
    while ((await this.writeDown('all')) === BATCH);
  }

  /** Writes down that the lease of the connection is over, where it is. */
  async note(connectionId: string): Promise<void> {
    await this.writeDown([connectionId]);
  }

  /** Decides by the time after the locks: who was about to renew may have done so. */
  private writeDown(connectionIds: readonly string[] | 'all'): Promise<number> {
    return this.transactor.observe(systemActor('vpn-leases'), async (tx) => {
      const locked = await this.leases.lockOver(tx, connectionIds, BATCH);
      if (locked.length === 0) return { result: 0 };
      const states = await this.leases.states(tx, locked);
      const now = await tx.clock();
      const events: AuditEvent[] = [];
      for (const { connection, lease } of states) {
        if (lease === null || isInForce(lease, now)) continue;
        const over = ended(lease, 'expired', lease.expiresAt);
        await this.leases.update(tx, over);
        this.lapses.suspect(connection.clusterId);
        events.push(leaseEnded(connection, over));
      }
      return { result: locked.length, events };
    });
  }
}
