import { Inject, Injectable, type OnModuleInit } from '@nestjs/common';
import type { Logger } from 'pino';
import { DomainError } from '../../common/errors/domain-error.js';
import { Jobs } from '../../common/jobs/jobs.js';
import { LOGGER } from '../../common/observability/logger.js';
import { systemActor } from '../../common/request/actor.js';
import { Transactor } from '../../common/transaction/transactor.js';
import { Absences } from './absences.js';
import { PinMoves } from './pin-moves.js';
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
    const due = await this.transactor.read((tx) => this.rollouts.due(tx));
    for (const { clusterId, id } of due) await this.tick(clusterId, id, true);
  }

  /** One that may not start, since another is under way or its version was blocked, waits for the next tick. */
  private async tick(clusterId: string, id: string, looksForDeferred: boolean): Promise<void> {
    try {
      await this.transactor.observe(systemActor('rollouts'), async (tx) => {
        const seenAgain = looksForDeferred ? await this.absences.seenAgain(tx, clusterId, id) : [];
        const held = await this.engine.hold(tx, clusterId, id);
        if (held === null) return { result: undefined };
        const { state, startAt } = held.rollout;
        const isDue = startAt !== null && startAt <= tx.now && (state === 'draft' || state === 'approved');
        const begins = isDue && (await this.pins.mayBegin(tx, held.rollout));
        const events = begins ? [await this.decisions.begin(tx, held)] : [];
        const rollout = (await this.rollouts.find(tx, clusterId, id)) ?? held.rollout;
        await this.engine.advance(tx, { ...held, rollout }, { seenAgain });
        return { result: undefined, events };
      });
    } catch (error) {
      if (!(error instanceof DomainError)) throw error;
      this.logger.info({ rolloutId: id, code: error.code }, 'a rollout that is due cannot start yet');
    }
  }
}
