import { Inject, Injectable, type OnModuleInit } from '@nestjs/common';
import type { Logger } from 'pino';
import type { AuditEvent } from '../../common/audit/audit-event.js';
import { DomainError } from '../../common/errors/domain-error.js';
import { Jobs } from '../../common/jobs/jobs.js';
import { LOGGER } from '../../common/observability/logger.js';
import { systemActor } from '../../common/request/actor.js';
import { type Observed, Transactor } from '../../common/transaction/transactor.js';
import type { Tx } from '../../common/transaction/tx.js';
import { Absences } from './absences.js';
import { EmergencyHolds } from './emergency-holds.js';
import type { HeldRollout } from './held-rollout.js';
import { NewWays } from './new-ways.js';
import { PinMoves } from './pin-moves.js';
import { RefusedStarts } from './refused-starts.js';
import { isDueToStart, type Rollout } from './rollout.js';
import { RolloutApprovals } from './rollout-approvals.js';
import { RolloutDecisionsService } from './rollout-decisions.service.js';
import { RolloutEngine } from './rollout-engine.js';
import { TICK_JOB } from './rollout-nudges.js';
import { RolloutsRepository } from './rollouts.repository.js';

/** How late what time alone brings about may be: the end of a soak, a deadline, a node that is away. */
const SWEEP_SECONDS = 5;

/** Drives rollouts. Reports and people drive them as well: a tick that is lost makes them later, never wrong. */
@Injectable()
export class RolloutTicks implements OnModuleInit {
  constructor(
    private readonly jobs: Jobs,
    private readonly transactor: Transactor,
    private readonly engine: RolloutEngine,
    private readonly absences: Absences,
    private readonly rollouts: RolloutsRepository,
    private readonly decisions: RolloutDecisionsService,
    private readonly pins: PinMoves,
    private readonly holds: EmergencyHolds,
    private readonly newWays: NewWays,
    private readonly approvals: RolloutApprovals,
    private readonly refused: RefusedStarts,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {}

  onModuleInit(): void {
    this.jobs.define({
      ...TICK_JOB,
      everySeconds: SWEEP_SECONDS,
      run: async (named) => {
        if (named === null) return this.sweep();
        const [clusterId = '', id = ''] = named.split('/');
        await this.tick(clusterId, id, false);
      },
    });
  }

  private async sweep(): Promise<void> {
    await this.leadLater();
    const approved = await this.transactor.read((tx) => this.approvals.overdue(tx));
    const due = await this.transactor.read((tx) => this.rollouts.due(tx));
    for (const { clusterId, id } of [...approved, ...due]) await this.tick(clusterId, id, true);
  }

  /** Pins whose nodes something else had, and has no more. */
  private async leadLater(): Promise<void> {
    const due = await this.transactor.read((tx) => this.pins.dueLater(tx));
    for (const pin of due)
      await this.unlessRefused({ nodeId: pin.nodeId }, 'a pin that has waited cannot be followed yet', () =>
        this.transactor.observe(systemActor('rollouts'), async (tx) => {
          await this.pins.takeUp(tx, pin);
          return { result: undefined };
        }),
      );
  }

  private async tick(clusterId: string, id: string, looksForDeferred: boolean): Promise<void> {
    const work = async (tx: Tx): Promise<Observed<void>> => {
      const seenAgain = looksForDeferred ? await this.absences.seenAgain(tx, clusterId, id) : [];
      const held = await this.engine.hold(tx, clusterId, id);
      if (held === null) return { result: undefined };
      const { rollout, events } = await this.begin(tx, held);
      await this.newWays.withdraw(tx, rollout);
      const { finishedAt } = await this.engine.advance(tx, { ...held, rollout }, { seenAgain });
      if (finishedAt !== null) await this.rollouts.endWindingDown(tx, id);
      return { result: undefined, events };
    };
    try {
      // Prepared: reports wait while it holds the lock.
      await this.transactor.observe(systemActor('rollouts'), work, { prepares: true });
    } catch (error) {
      if (!(error instanceof DomainError)) throw error;
      // Another is under way, say, or its version was blocked: it waits for the next tick.
      if (await this.refused.note(clusterId, id, error)) return;
      this.logger.info({ rolloutId: id, code: error.code }, 'a rollout that is due cannot go on yet');
    }
  }

  /** What has to be decided before anything else: whether its pin is over, it has its approvals, and its time has come. */
  private async begin(tx: Tx, held: HeldRollout): Promise<{ rollout: Rollout; events: AuditEvent[] }> {
    let { rollout } = held;
    const again = async () => (await this.rollouts.find(tx, rollout.clusterId, rollout.id)) ?? rollout;
    const events: AuditEvent[] = [];
    if (rollout.kind === 'emergency') {
      await this.holds.endIfExpired(tx, rollout);
      rollout = await again();
    }
    const approved = rollout.state === 'pending_approval' ? await this.approvals.complete(tx, rollout) : null;
    if (approved !== null) {
      events.push(approved);
      rollout = await again();
    }
    if (isDueToStart(rollout, tx.now) && (await this.pins.mayBegin(tx, rollout))) {
      events.push(await this.decisions.begin(tx, { ...held, rollout }));
      rollout = await again();
    }
    return { rollout, events };
  }

  /** What is refused now is tried again by the next sweep, and keeps nothing else from its turn. */
  private async unlessRefused(about: object, message: string, work: () => Promise<unknown>): Promise<void> {
    try {
      await work();
    } catch (error) {
      if (!(error instanceof DomainError)) throw error;
      this.logger.info({ ...about, code: error.code }, message);
    }
  }
}
