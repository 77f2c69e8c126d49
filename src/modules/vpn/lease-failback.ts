import { Injectable, type OnModuleInit } from '@nestjs/common';
import { Jobs } from '../../common/jobs/jobs.js';
import { systemActor } from '../../common/request/actor.js';
import { Transactor } from '../../common/transaction/transactor.js';
import type { Tx } from '../../common/transaction/tx.js';
import { MassLapses } from '../authority/mass-lapses.service.js';
import { NodesReadModel } from '../nodes/nodes.read-model.js';
import { ineligibleReasons } from './eligibility.js';
import { isInForce } from './lease.js';
import { LeaseHandoversService } from './lease-handovers.service.js';
import { betterPlaced, isWell } from './lease-precedence.js';
import { type DueFailback, LeaseStandingsRepository } from './lease-standings.repository.js';
import { LeaseTransactions } from './lease-transactions.js';
import { LeasesRepository } from './leases.repository.js';
import { VpnCandidates } from './vpn-candidates.js';

const ACTOR = systemActor('vpn-failback');
const SWEEP_SECONDS = 10;
const BATCH = 100;

/**
 * Brings connections back to the nodes that are preferred, where their policy says so: once such a node has been well
 * for as long as it says, and the present owner has had the connection for as long too, the owner is asked to hand it
 * over. So a node that comes and goes moves a connection once in that time at the most.
 */
@Injectable()
export class LeaseFailback implements OnModuleInit {
  constructor(
    private readonly jobs: Jobs,
    private readonly transactor: Transactor,
    private readonly transactions: LeaseTransactions,
    private readonly leases: LeasesRepository,
    private readonly standings: LeaseStandingsRepository,
    private readonly candidates: VpnCandidates,
    private readonly nodes: NodesReadModel,
    private readonly handovers: LeaseHandoversService,
    private readonly brake: MassLapses,
  ) {}

  onModuleInit(): void {
    const job = { queue: 'vpn', name: 'failback', everySeconds: SWEEP_SECONDS };
    this.jobs.define({ ...job, run: () => this.sweep() });
  }

  /** Asks the owner of every connection that is due. */
  private async sweep(): Promise<void> {
    for (let after: string | null = null; ; ) {
      const due: DueFailback[] = await this.transactor.read((tx) =>
        this.standings.dueFailbacks(tx, after, BATCH),
      );
      for (const failback of due) await this.transactions.atOnce(ACTOR, (tx) => this.consider(tx, failback));
      if (due.length < BATCH) return;
      after = due.at(-1)?.connectionId ?? null;
    }
  }

  private async consider(tx: Tx, { clusterId, connectionId, stableSeconds }: DueFailback) {
    const nothing = { result: undefined, unchanged: true as const };
    // What has lapsed on a large scale says nothing about single nodes.
    if ((await this.brake.list(tx, [clusterId])).length > 0) return nothing;
    const [state] = await this.leases.states(tx, [connectionId]);
    const owner = state?.lease?.ownerNodeId;
    if (state === undefined || owner === undefined || !isInForce(state.lease, tx.now)) return nothing;
    const better = betterPlaced(await this.standings.places(tx, connectionId, owner), owner);
    const candidates = await this.candidates.of(tx, clusterId, better);
    const fares = await this.nodes.wellBeing(tx, clusterId, better);
    const stableSince = new Date(tx.now.getTime() - stableSeconds * 1_000);
    const nodeId = better.find((candidate) => {
      const { health, since } = fares.get(candidate) ?? {};
      const isStable = isWell(health) && since != null && since <= stableSince;
      return (
        isStable && ineligibleReasons(state.connection, candidates(candidate, true), tx.now).length === 0
      );
    });
    if (nodeId === undefined) return nothing;
    return this.handovers.failBack(tx, { clusterId, connectionId, nodeId });
  }
}
