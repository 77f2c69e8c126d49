import { Injectable, type OnModuleInit } from '@nestjs/common';
import type { AuditEvent } from '../../common/audit/audit-event.js';
import { DomainError, unavailable } from '../../common/errors/domain-error.js';
import { Jobs } from '../../common/jobs/jobs.js';
import { systemActor } from '../../common/request/actor.js';
import { currentRequest } from '../../common/request/request-context.js';
import { Transactor } from '../../common/transaction/transactor.js';
import type { Tx } from '../../common/transaction/tx.js';
import { decisionTime, ended, isInForce, type Lease } from './lease.js';
import { leaseEnded } from './lease-events.js';
import { LeaseLapses } from './lease-lapses.js';
import type { ConnectionState } from './lease-rows.js';
import { LeasesRepository } from './leases.repository.js';

/** The job that writes down what has expired; a nudge names a connection. */
export const EXPIRY_JOB = { queue: 'vpn', name: 'lease-expiry' } as const;

/** Tells which lease somebody may be refused for, and by what time. */
export type Found = (lease: Lease | null, now: Date) => void;

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
        if (connectionId !== null) await this.writeDown([connectionId]);
        else await this.sweep();
      },
    });
  }

  private async sweep(): Promise<void> {
    // First the brake: what is written down is told, and whoever waits for it comes.
    await this.lapses.sweep();
    while ((await this.writeDown('all')) === BATCH);
  }

  /**
   * Runs what may refuse because a lease is over. Such a refusal undoes its transaction, so that the end is written down
   * in another one before it is told: whoever hears of it must not see the lease live when the clock steps back.
   * @throws unavailable when the lease was renewed between the two
   */
  async refusing<R>(
    { clusterId, connectionId }: { clusterId: string; connectionId: string },
    work: (found: Found) => Promise<R>,
  ): Promise<R> {
    let overAt = null as Date | null;
    try {
      return await work((lease, now) => {
        overAt = lease === null || isInForce(lease, now) ? null : now;
      });
    } catch (error) {
      const isRefusal = error instanceof DomainError && error.code === 'lease_lost';
      if (!isRefusal || overAt === null || currentRequest()?.dryRun === true) throw error;
      if (await this.settle(clusterId, connectionId, overAt)) throw error;
      throw unavailable('unavailable', 'The lease was renewed at the same time.', { cause: error });
    }
  }

  /** Waits for the connection and writes down that its lease is over at `at`. @returns false when it is renewed by now */
  private settle(clusterId: string, connectionId: string, at: Date): Promise<boolean> {
    return this.transactor.observe(systemActor('vpn-leases'), async (tx) => {
      if (!(await this.leases.lock(tx, clusterId, connectionId))) return { result: true };
      const [state] = await this.leases.states(tx, [connectionId]);
      if (state === undefined || state.lease === null) return { result: true };
      const now = decisionTime(at, state.connection, state.lease);
      const events = await this.endOver(tx, state, now);
      return { result: events.length > 0, events };
    });
  }

  /** Writes down the lease of a locked connection where it is over at `now`. @returns the event of it, if it is */
  async endOver(tx: Tx, { connection, lease }: ConnectionState, now: Date): Promise<AuditEvent[]> {
    if (lease === null || isInForce(lease, now)) return [];
    const over = ended(lease, 'expired', lease.expiresAt);
    await this.leases.end(tx, over, now);
    this.lapses.suspect(connection.clusterId);
    return [leaseEnded(connection, over)];
  }

  /** Decides by the time after the locks: who was about to renew may have done so. */
  private writeDown(connectionIds: readonly string[] | 'all'): Promise<number> {
    return this.transactor.observe(systemActor('vpn-leases'), async (tx) => {
      const locked = await this.leases.lockOver(tx, connectionIds, BATCH);
      if (locked.length === 0) return { result: 0 };
      const states = await this.leases.states(tx, locked);
      const events: AuditEvent[] = [];
      for (const state of states)
        events.push(
          ...(await this.endOver(tx, state, decisionTime(state.clock, state.connection, state.lease))),
        );
      return { result: locked.length, events };
    });
  }
}
