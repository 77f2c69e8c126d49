import { Inject, Injectable, type OnModuleInit } from '@nestjs/common';
import type { Logger } from 'pino';
import { DomainError } from '../../common/errors/domain-error.js';
import { Jobs } from '../../common/jobs/jobs.js';
import { LOGGER } from '../../common/observability/logger.js';
import { systemActor } from '../../common/request/actor.js';
import { type Observed, Transactor } from '../../common/transaction/transactor.js';
import type { Tx } from '../../common/transaction/tx.js';
import { Absences } from './absences.js';
import { EmergencyHolds } from './emergency-holds.js';
import { NewWays } from './new-ways.js';
import { PinMoves } from './pin-moves.js';
import type { Rollout } from './rollout.js';
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
    const due = await this.transactor.read((tx) => this.rollouts.due(tx));
    for (const { clusterId, id } of due) await this.tick(clusterId, id, true);
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

  /** One that may not start, since another is under way or its version was blocked, waits for the next tick. */
  private async tick(clusterId: string, id: string, looksForDeferred: boolean): Promise<void> {
    const work = async (tx: Tx): Promise<Observed<void>> => {
      const seenAgain = looksForDeferred ? await this.absences.seenAgain(tx, clusterId, id) : [];
      const held = await this.engine.hold(tx, clusterId, id);
      if (held === null) return { result: undefined };
      const current = async () => (await this.rollouts.find(tx, clusterId, id)) ?? held.rollout;
      await this.holds.endIfExpired(tx, held.rollout);
      const known = held.rollout.kind === 'emergency' ? await current() : held.rollout;
      const begins = isDue(known, tx.now) && (await this.pins.mayBegin(tx, known));
      const events = begins ? [await this.decisions.begin(tx, { ...held, rollout: known })] : [];
      const rollout = begins ? await current() : known;
      await this.newWays.withdraw(tx, rollout);
      const { finishedAt } = await this.engine.advance(tx, { ...held, rollout }, { seenAgain });
      if (finishedAt !== null) await this.rollouts.endWindingDown(tx, id);
      return { result: undefined, events };
    };
    // Prepared: reports wait while it holds the lock.
    const tick = () => this.transactor.observe(systemActor('rollouts'), work, { prepares: true });
    await this.unlessRefused({ rolloutId: id }, 'a rollout that is due cannot start yet', tick);
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

/** An emergency pin begins as soon as it has its approvals; of the others some are to begin by themselves, some by a person. */
function isDue({ kind, state, startAt }: Rollout, now: Date): boolean {
  if (kind === 'emergency') return state === 'approved';
  return startAt !== null && startAt <= now && (state === 'draft' || state === 'approved');
}
