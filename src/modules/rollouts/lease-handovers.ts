import { Inject, Injectable, type OnModuleInit } from '@nestjs/common';
import type { Logger } from 'pino';
import { DomainError } from '../../common/errors/domain-error.js';
import { Jobs } from '../../common/jobs/jobs.js';
import { LOGGER } from '../../common/observability/logger.js';
import { systemActor } from '../../common/request/actor.js';
import { Transactor } from '../../common/transaction/transactor.js';
import { type Evacuation, LeaseEvacuations } from '../vpn/lease-evacuations.service.js';
import { LEASE_REASONS } from './engine/lease-care.js';
import { LeaseWaitsRepository, type WaitingNode } from './lease-waits.repository.js';
import { HANDOVER_JOB, RolloutNudges } from './rollout-nudges.js';
import { RolloutsRepository } from './rollouts.repository.js';

const ACTOR = systemActor('rollouts');
/** How late a lease is asked for when a nudge was lost, or its candidate was out of service. */
const SWEEP_SECONDS = 5;

/** Asks others to take the leases of nodes that are to go out of service. */
@Injectable()
export class LeaseHandovers implements OnModuleInit {
  constructor(
    private readonly jobs: Jobs,
    private readonly transactor: Transactor,
    private readonly waits: LeaseWaitsRepository,
    private readonly rollouts: RolloutsRepository,
    private readonly evacuations: LeaseEvacuations,
    private readonly nudges: RolloutNudges,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {}

  onModuleInit(): void {
    this.jobs.define({ ...HANDOVER_JOB, everySeconds: SWEEP_SECONDS, run: (named) => this.run(named) });
  }

  private async run(named: string | null): Promise<void> {
    const rolloutId = named?.split('/')[1] ?? null;
    const waiting = await this.transactor.read((tx) => this.waits.waiting(tx, rolloutId));
    const before = new Map<string, Set<string>>();
    for (const node of waiting) {
      const { clusterId, nodeId } = node;
      const gone = before.get(clusterId) ?? new Set(await this.nodesOut(clusterId));
      const evacuation = await this.evacuate(node, gone);
      if (evacuation !== null) await this.settle(node, evacuation);
      // Who goes before takes no lease of who comes after.
      before.set(clusterId, gone.add(nodeId));
    }
  }

  private nodesOut(clusterId: string): Promise<string[]> {
    return this.transactor.read((tx) => this.waits.nodesOut(tx, clusterId));
  }

  /** null: somebody else was at the connection; the next sweep asks again. */
  private async evacuate(
    { clusterId, nodeId }: WaitingNode,
    avoid: ReadonlySet<string>,
  ): Promise<Evacuation | null> {
    try {
      return await this.evacuations.evacuate(ACTOR, { clusterId, nodeId, avoid });
    } catch (error) {
      if (!(error instanceof DomainError)) throw error;
      this.logger.info({ nodeId, code: error.code }, 'the leases of a node cannot be handed over yet');
      return null;
    }
  }

  private async settle(
    { clusterId, rolloutId, assignmentId }: WaitingNode,
    evacuation: Evacuation,
  ): Promise<void> {
    if (evacuation.kind === 'waits') return;
    await this.transactor.observe(ACTOR, async (tx) => {
      const rollout = await this.rollouts.find(tx, clusterId, rolloutId);
      if (rollout === null) return { result: undefined };
      await this.rollouts.lockProduct(tx, clusterId, rollout.productId);
      const { kind } = evacuation;
      if (kind === 'under_way')
        await this.waits.settle(tx, assignmentId, LEASE_REASONS.waiting, evacuation.until);
      if (kind === 'no_candidate')
        await this.waits.settle(tx, assignmentId, LEASE_REASONS.noCandidate, tx.now);
      if (kind !== 'under_way') this.nudges.nudge(tx, rollout);
      return { result: undefined };
    });
  }
}
