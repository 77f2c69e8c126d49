import { Injectable, type OnModuleInit } from '@nestjs/common';
import { systemActor } from '../../common/request/actor.js';
import { Transactor } from '../../common/transaction/transactor.js';
import { findMassLapse } from '../authority/mass-lapse.js';
import { MassLapses } from '../authority/mass-lapses.service.js';
import { TakeoverHolds } from '../authority/takeover-holds.js';
import { LeaseLapsesRepository } from './lease-lapses.repository.js';

/** A cluster that was looked at so lately is not looked at again before an acquisition: it costs a read of its leases. */
const FRESH_MS = 1_000;

/**
 * The brake on leases that lapse together: then the control plane, or the way to it, is the likely culprit, and moving
 * everything elsewhere would make it worse. Looked for before a lease goes over to another node, and with each sweep.
 */
@Injectable()
export class LeaseLapses implements OnModuleInit {
  private readonly lookedAt = new Map<string, number>();
  /** Clusters of which somebody has written down a lapse since the last sweep. */
  private suspects = new Set<string>();

  constructor(
    private readonly transactor: Transactor,
    private readonly lapses: LeaseLapsesRepository,
    private readonly brake: MassLapses,
    private readonly holds: TakeoverHolds,
  ) {}

  onModuleInit(): void {
    this.holds.boundBy((tx) => this.lapses.longest(tx));
  }

  /** Looks at the cluster, unless that was done a moment ago: to be called outside of any transaction. */
  async lookBeforeTakeover(clusterId: string): Promise<void> {
    const now = performance.now();
    if (now - (this.lookedAt.get(clusterId) ?? Number.NEGATIVE_INFINITY) < FRESH_MS) return;
    this.lookedAt.set(clusterId, now);
    await this.look(clusterId);
  }

  /** A lease of the cluster has lapsed and was written down: the next sweep looks at it. */
  suspect(clusterId: string): void {
    this.suspects.add(clusterId);
  }

  /** Looks at every cluster in which leases have lapsed since the last time, or a mass lapse goes on. */
  async sweep(): Promise<void> {
    const { suspects } = this;
    this.suspects = new Set();
    const clusterIds = await this.transactor.read(async (tx) => {
      const standing = (await this.brake.list(tx, 'all')).filter(({ kind }) => kind === 'leases');
      const unwritten = await this.lapses.unwritten(tx);
      return new Set([...suspects, ...unwritten, ...standing.map(({ clusterId }) => clusterId)]);
    });
    for (const clusterId of clusterIds) await this.look(clusterId);
  }

  private async look(clusterId: string): Promise<void> {
    await this.transactor.observe(systemActor('vpn-leases'), async (tx) => {
      const { lapsedAt, alive } = await this.lapses.ofCluster(tx, clusterId);
      const lapse = findMassLapse(lapsedAt, alive);
      return { result: undefined, events: await this.brake.note(tx, clusterId, 'leases', lapse) };
    });
  }
}
