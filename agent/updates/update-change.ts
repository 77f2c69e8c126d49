import type { DataMigrations, MigrationHome } from './data-migrations.js';
import type { HeldService } from './held-service.js';
import type { InstalledReleases } from './installed-releases.js';
import type { UpdateJournal } from './update-journal.js';
import type { UpdateUnderWay } from './update-record.js';
import type { VersionTrial } from './version-trial.js';

/** Starts of the agent in one state that changes the service, after which the update is taken back. */
const MAX_RESTARTS = 5;

/** What a change works with. */
export interface ChangeContext {
  journal: UpdateJournal;
  service: HeldService;
  trial: VersionTrial;
  releases: InstalledReleases;
  migrations: DataMigrations;
  stop: AbortSignal;
  homeOf: (update: UpdateUnderWay) => Promise<MigrationHome>;
  /** Removes what nobody needs any more. */
  prune: () => Promise<void>;
}

/** The steps from the point of no return on: they end on a version that is well, or in the fence. */
export class UpdateChange {
  constructor(private readonly context: ChangeContext) {}

  async step(update: UpdateUnderWay): Promise<void> {
    const { journal, service, trial, releases, migrations, homeOf } = this.context;
    if (update.restarts > MAX_RESTARTS) return this.giveUp(update);
    switch (update.state) {
      case 'migrating': {
        await service.takeOut(update);
        const complaint = await migrations.migrate(await homeOf(update));
        return complaint === null
          ? journal.enter('starting')
          : journal.enter('rollback_required', { message: complaint });
      }
      case 'starting':
        await service.takeOut(update);
        await releases.switchTo(journal.product, update.to);
        await service.letRun();
        return journal.enter('health_checking');
      case 'health_checking': {
        const verdict = await trial.judged(update, update.to.version);
        if (verdict === null) return;
        return verdict.kind === 'bad'
          ? journal.enter('rollback_required', { message: verdict.reason })
          : journal.enter('promoting');
      }
      case 'promoting':
        return this.promote(update);
      case 'rollback_required':
        return journal.enter('rolling_back', { message: update.message });
      default:
        return this.goBack(update);
    }
  }

  private async promote(update: UpdateUnderWay): Promise<void> {
    const { journal, homeOf, prune } = this.context;
    const { watchSeconds } = (await homeOf(update)).definition.update;
    const watchUntil = Date.now() + watchSeconds * 1_000;
    await journal.enter('running', { watchUntil }, (record) => ({
      ...record,
      lastGood: update.from ?? record.lastGood,
    }));
    await prune();
  }

  private async goBack(update: UpdateUnderWay): Promise<void> {
    const { journal, service, trial, releases, migrations, stop, homeOf, prune } = this.context;
    const { from, message } = update;
    await service.takeOut(update);
    const complaint = await migrations.revert(await homeOf(update));
    if (complaint !== null) return this.fence(update, complaint);
    await releases.switchTo(journal.product, from);
    await service.letRun();
    const verdict = from === null ? null : await trial.judged(update, from.version);
    if (stop.aborted) return;
    if (verdict?.kind === 'bad')
      return this.fence(update, `${from?.version} is not well either: ${verdict.reason}`);
    await journal.enter('rolled_back', { message });
    await prune();
  }

  private async fence(update: UpdateUnderWay, reason: string): Promise<void> {
    const { journal, service } = this.context;
    await journal.enter('fenced', { message: `${update.message ?? 'the update failed'}; ${reason}` });
    service.hold(update);
  }

  /** Whatever is updated takes the agent with it, again and again. */
  private async giveUp(update: UpdateUnderWay): Promise<void> {
    const message = `the agent was started anew ${MAX_RESTARTS} times while it was ${update.state}`;
    if (update.state === 'rolling_back' || update.state === 'rollback_required')
      return this.fence(update, message);
    await this.context.journal.enter('rollback_required', { message });
  }
}
