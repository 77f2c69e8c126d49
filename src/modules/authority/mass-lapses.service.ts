import { Inject, Injectable } from '@nestjs/common';
import type { Logger } from 'pino';
import { Gauge } from 'prom-client';
import type { AuditEvent } from '../../common/audit/audit-event.js';
import { LOGGER } from '../../common/observability/logger.js';
import { Metrics } from '../../common/observability/metrics.js';
import { Transactor } from '../../common/transaction/transactor.js';
import type { ReadTx, Tx } from '../../common/transaction/tx.js';
import { type LapsingKind, type MassLapse, massLapseBegan, massLapseEnded } from './mass-lapse.js';
import { MassLapsesRepository, type StandingLapse } from './mass-lapses.repository.js';
import { TakeoverHolds } from './takeover-holds.js';

/**
 * The brake on mass lapses: while one goes on, nothing is decided by what has lapsed. It never touches the health that
 * is displayed. The modules whose nodes or leases lapse find it (`findMassLapse`) and say so here; beginning holds
 * takeovers, and is an alarm in the log, among the risky states and in the metrics until it has ended.
 */
@Injectable()
export class MassLapses {
  constructor(
    private readonly lapses: MassLapsesRepository,
    private readonly holds: TakeoverHolds,
    private readonly transactor: Transactor,
    @Inject(LOGGER) private readonly logger: Logger,
    metrics: Metrics,
  ) {
    const gauge: Gauge<'kind'> = new Gauge({
      name: 'fabric_mass_lapses',
      help: 'Clusters of which more than half of the nodes or leases lapsed at once, and are lapsed still.',
      labelNames: ['kind'],
      registers: [metrics.registry],
      collect: () => this.measure(gauge),
    });
  }

  /** Says what is so now of one kind in one cluster; null: nothing. @returns the events, none where it was known */
  async note(tx: Tx, clusterId: string, kind: LapsingKind, lapse: MassLapse | null): Promise<AuditEvent[]> {
    if (lapse === null) {
      const since = await this.lapses.end(tx, clusterId, kind);
      if (since === null) return [];
      tx.afterCommit(() => this.logger.info({ clusterId, kind, since }, 'mass lapse: over'));
      return [massLapseEnded(clusterId, kind, since)];
    }
    if (!(await this.lapses.begin(tx, clusterId, kind, lapse))) return [];
    await this.holds.begin(tx, [clusterId], 'mass_lapse');
    const message = 'mass lapse: takeovers and automatic decisions are held';
    tx.afterCommit(() => this.logger.error({ clusterId, kind, ...lapse }, message));
    return [massLapseBegan(clusterId, kind, lapse)];
  }

  /** Those that go on; of these clusters, or of all. */
  list(tx: ReadTx, clusterIds: readonly string[] | 'all'): Promise<StandingLapse[]> {
    return this.lapses.list(tx, clusterIds);
  }

  private async measure(gauge: Gauge<'kind'>): Promise<void> {
    // Without the database the last values stand; that it is away is told elsewhere.
    const standing = await this.transactor.read((tx) => this.lapses.list(tx, 'all')).catch(() => null);
    if (standing === null) return;
    for (const kind of ['nodes', 'leases'] as const)
      gauge.set({ kind }, standing.filter((lapse) => lapse.kind === kind).length);
  }
}
