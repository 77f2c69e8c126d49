import { type BeforeApplicationShutdown, Inject, Injectable, type OnModuleInit } from '@nestjs/common';
import type { Logger } from 'pino';
import { ChangeReader } from '../../common/changes/change-reader.js';
import type { FeedChange } from '../../common/changes/feed-change.js';
import { Nudged } from '../../common/changes/nudged.js';
import { LOGGER } from '../../common/observability/logger.js';
import { Transactor } from '../../common/transaction/transactor.js';
import { VpnReadModel } from '../vpn/vpn.read-model.js';
import { HeldPolls } from './held-polls.js';

/** After these somebody may have what another had, or is asked for what it has. */
const WORTH_A_LOOK: readonly string[] = [
  'vpn_lease.released',
  'vpn_lease.expired',
  'vpn_lease.fenced',
  'vpn_lease.handover_requested',
  'vpn_lease.handover_withdrawn',
];

/**
 * Wakes the nodes that may hold a connection when its lease has ended, and its holder when it is asked for it: no snapshot
 * says anything of leases, and without this they would learn it with their next try. Nothing rests on it.
 */
@Injectable()
export class LeaseHints implements OnModuleInit, BeforeApplicationShutdown {
  private readonly pending = new Set<string>();
  private readonly telling = new Nudged(() => this.tell());

  constructor(
    private readonly changes: ChangeReader,
    private readonly polls: HeldPolls,
    private readonly transactor: Transactor,
    private readonly connections: VpnReadModel,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {}

  onModuleInit(): void {
    this.changes.subscribe((changes) => this.take(changes));
  }

  async beforeApplicationShutdown(): Promise<void> {
    await this.telling.close();
  }

  private take(changes: readonly FeedChange[]): void {
    if (!this.polls.wantHints) return;
    for (const { kind, resourceId } of changes) if (WORTH_A_LOOK.includes(kind)) this.pending.add(resourceId);
    if (this.pending.size > 0) this.telling.nudge();
  }

  private async tell(): Promise<void> {
    const connectionIds = [...this.pending];
    this.pending.clear();
    try {
      const allowed = await this.transactor.read((tx) => this.connections.allowedNodes(tx, connectionIds));
      for (const { clusterId, nodeId, connectionId } of allowed)
        this.polls.hint(clusterId, nodeId, connectionId);
    } catch (error) {
      this.logger.warn({ err: error }, 'snapshots: nodes were not told of the end of leases');
    }
  }
}
