import { Alarm } from '../alarm.js';
import { afterFailure } from '../loop.js';
import { DEFAULT_TERMS } from '../supervisor/service-definition.js';
import { type ArtifactDownloads, WrongContent } from './artifact-download.js';
import type { MigrationHome } from './data-migrations.js';
import { HeldService } from './held-service.js';
import { installedAs } from './installed-releases.js';
import { ReleaseRefused } from './release-envelope.js';
import type { SnapshotUpdate } from './snapshot-update.js';
import { UnsafeArchive } from './unpack.js';
import { UpdateChange } from './update-change.js';
import { UpdateJournal } from './update-journal.js';
import { UpdatePreparation } from './update-preparation.js';
import { moved, type UpdateRecord, type UpdateUnderWay } from './update-record.js';
import { HELD_STATES, nextMove, type UpdateState, type Wanted, wayToIdle } from './update-state.js';
import { NotPossible, type ReleaseStore, type UpdaterContext } from './updater-context.js';
import { VersionTrial } from './version-trial.js';

/** A fenced product asks so often whether an operator has taken it out of its fence. */
const FENCED_ASK_MS = 10_000;
const LONG_MS = 3_600_000;
/** Who was turned away asks again after this, or when it is told anew. */
const TURNED_AWAY_MS = 1_000;

/**
 * Takes one product from version to version, as the snapshot wants it, one durable step after another. Whatever is cut
 * short is taken up again from the record: what each step does can be done twice.
 */
export class ProductUpdater {
  protected readonly journal: UpdateJournal;
  protected readonly preparation: UpdatePreparation;
  private readonly change: UpdateChange;
  private readonly service: HeldService;
  private readonly trial: VersionTrial;
  private readonly alarm = new Alarm();
  private wanted: SnapshotUpdate | null = null;
  /** Ends what is being made ready for another update than the one that is wanted. */
  private preparing = new AbortController();
  private isActive = false;
  /** What the agent before this one had no time to remove is gone. */
  private isTidy = false;
  private retryAt: number | null = null;
  private askedAt = Number.NEGATIVE_INFINITY;

  /** @param store  where its releases are installed */
  constructor(
    private readonly product: string,
    protected readonly downloads: ArtifactDownloads,
    protected readonly context: UpdaterContext,
    private readonly store: ReleaseStore = context.releases,
  ) {
    const { supervisor, releases, migrations, stop } = context;
    this.journal = new UpdateJournal(product, context);
    this.preparation = new UpdatePreparation(this.journal, downloads, context, store);
    this.service = new HeldService(supervisor);
    this.trial = new VersionTrial(context, this.alarm, () => this.isActive);
    this.change = new UpdateChange({
      ...{ journal: this.journal, service: this.service, trial: this.trial, releases, migrations, stop },
      homeOf: (update) => this.home(update),
      prune: () => this.prune(),
    });
  }

  /** Takes on what the snapshot wants; null: nothing. Whether the membership is active decides what counts as well. */
  want(update: SnapshotUpdate | null, isActive: boolean): void {
    this.wanted = update;
    this.isActive = isActive;
    if (nextMove(this.record.update, this.identity()) === 'withdraw') this.preparing.abort();
    this.alarm.ring();
  }

  /** Something may have changed: a report was heard, or a service is another way. */
  ring(): void {
    this.alarm.ring();
  }

  /** Before any service is started: what the agent before this one had taken out of service stays so. */
  async prepare(): Promise<void> {
    const { update } = this.record;
    if (update === null) return;
    await this.journal.change({ restarts: update.restarts + 1 });
    if (update.isLetGo && HELD_STATES.includes(update.state)) this.service.hold(update);
  }

  /** Updates until stopped. @throws IdentityRefused */
  async run(): Promise<void> {
    const { stop } = this.context;
    let failures = 0;
    while (!stop.aborted) {
      this.preparing = new AbortController();
      const { signal } = this.preparing;
      const abort = (): void => this.preparing.abort();
      stop.addEventListener('abort', abort, { once: true });
      try {
        await this.step(signal);
        failures = 0;
      } catch (error) {
        if (signal.aborted) continue;
        await this.alarm.sleep(afterFailure(error, 'update.failed', failures, this.context), stop);
        failures += 1;
      } finally {
        stop.removeEventListener('abort', abort);
      }
    }
  }

  private async step(signal: AbortSignal): Promise<void> {
    if (!this.isTidy) await this.prune();
    this.isTidy = true;
    const { wanted, service } = this;
    const { update } = this.record;
    if (service.isHeld && (update === null || !HELD_STATES.includes(update.state))) await service.letRun();
    switch (nextMove(update, this.identity())) {
      case 'begin':
        if (wanted !== null) await this.begin(wanted);
        return;
      case 'withdraw':
        if (update === null) return;
        for (const state of wayToIdle(update.state)) await this.journal.enter(state);
        return;
      case 'go_on':
        if (update === null) return;
        return isPreparing(update.state) ? this.makeReady(update, wanted, signal) : this.carryOut(update);
      case 'rest':
        return this.rest();
    }
  }

  private async begin(wanted: SnapshotUpdate): Promise<void> {
    const { assignmentId, epoch, toVersion, artifact } = wanted;
    const from = await this.store.current(this.product);
    const before = this.record.update;
    await this.journal.write((record) => {
      const isSame = before?.assignmentId === assignmentId && before.epoch === epoch;
      const hasEnded = isSame && (before.state === 'failed' || before.state === 'rolled_back');
      const rested = hasEnded ? moved(record, 'idle') : record;
      const last = isSame ? rested.update : null;
      const idle: UpdateUnderWay = {
        ...{ assignmentId, epoch, toVersion, sha256: artifact.sha256, state: 'idle', isReady: false },
        attempt: last?.state === 'idle' ? last.attempt + 1 : (last?.attempt ?? 1),
        sequence: last?.sequence ?? 0,
        ...{ serviceType: '', from, to: installedAs(toVersion, artifact), artifact: null, maxBytes: 0 },
        ...{ migrations: [], isLetGo: false, begun: null, undone: [], done: [], hasBackup: false },
        ...{ isFinal: false, restarts: 0, watchUntil: 0, message: null },
      };
      return moved({ ...rested, update: idle }, 'checking');
    });
    this.retryAt = null;
    this.trial.forget();
    this.journal.tell();
    await this.prune();
  }

  /** Everything that can be done while the service runs on. */
  private async makeReady(
    update: UpdateUnderWay,
    wanted: SnapshotUpdate | null,
    signal: AbortSignal,
  ): Promise<void> {
    if (wanted === null) return;
    try {
      switch (update.state) {
        case 'checking':
          return await this.check(wanted);
        case 'downloading':
          return await this.preparation.download(update, signal);
        case 'verifying':
          return await this.preparation.verify(update, wanted);
        default:
          return await (update.isReady ? this.leave(update) : this.preparation.stage(update));
      }
    } catch (error) {
      await this.giveUp(update, error as Error);
    }
  }

  /** Ends what cannot be made ready. @throws what another try may change */
  private async giveUp(update: UpdateUnderWay, error: Error): Promise<void> {
    const { message } = error;
    const isFinal = [NotPossible, ReleaseRefused, WrongContent, UnsafeArchive].some(
      (kind) => error instanceof kind,
    );
    if (!isFinal) throw error;
    const isSigned = !(error instanceof NotPossible);
    if (update.state === 'checking') await this.journal.enter('downloading');
    // Who fails there is not asked to try the same bytes again.
    if (isSigned && this.record.update?.state === 'downloading') await this.journal.enter('verifying');
    await this.journal.enter('failed', { message, isFinal: isSigned });
    await this.prune();
  }

  protected check(wanted: SnapshotUpdate): Promise<void> {
    return this.preparation.check(wanted);
  }

  /** It may go out of service now. */
  protected async leave(update: UpdateUnderWay): Promise<void> {
    await this.preparation.leave(update, await this.home(update));
  }

  /** From the point of no return on. */
  protected async carryOut(update: UpdateUnderWay): Promise<void> {
    const waits = !update.isLetGo && (update.state === 'migrating' || update.state === 'starting');
    return waits ? this.waitForWord() : this.change.step(update);
  }

  /** Waits until something may have changed. */
  protected rung(): Promise<void> {
    return this.alarm.sleep(LONG_MS, this.context.stop);
  }

  /** The service is not touched before the control plane has heard of it: who was written off meanwhile is told so. */
  protected async waitForWord(): Promise<void> {
    if (this.record.reports.length > 0) {
      await this.rung();
      // It was no more its turn; a snapshot that says so is on its way.
      if (this.record.update?.state === 'staging') await this.alarm.sleep(TURNED_AWAY_MS, this.context.stop);
      return;
    }
    // How often the agent was started while it waited says nothing of the change that begins now.
    await this.journal.change({ isLetGo: true, restarts: 0 });
  }

  private async rest(): Promise<void> {
    const { update } = this.record;
    if (update?.state === 'fenced') return this.askForTheFence();
    if (update?.state === 'failed' && !update.isFinal && this.wanted !== null)
      return this.tryAgain(this.wanted);
    return update?.state === 'running' ? this.lookLate(update) : this.rung();
  }

  private async askForTheFence(): Promise<void> {
    const waitMs = this.askedAt + FENCED_ASK_MS - performance.now();
    if (waitMs > 0) return this.alarm.sleep(waitMs, this.context.stop);
    this.askedAt = performance.now();
    // The same report again: the answer tells whether the fence still stands.
    if (this.record.reports.length === 0) await this.repeatReport();
  }

  /** It is still offered: what this host lacked it may have by now. How often, the control plane has said when it heard
   *  of the failure. */
  private async tryAgain(wanted: SnapshotUpdate): Promise<void> {
    if (this.record.reports.length > 0) return this.rung();
    const known = await this.context.catalogue.serviceOf(this.product).catch(() => null);
    const { retrySeconds } = known?.definition.update ?? DEFAULT_TERMS;
    this.retryAt ??= performance.now() + retrySeconds * 1_000;
    const waitMs = this.retryAt - performance.now();
    if (waitMs > 0) return this.alarm.sleep(waitMs, this.context.stop);
    await this.begin(wanted);
  }

  private async repeatReport(): Promise<void> {
    await this.journal.write((record) => {
      const { update } = record;
      if (update?.state !== 'fenced') return record;
      const { assignmentId, epoch, attempt, sequence, state, message, from } = update;
      const version = from?.version ?? null;
      return { ...record, reports: [{ assignmentId, epoch, attempt, sequence, state, message, version }] };
    });
    this.context.reporter.ring();
  }

  private async lookLate(update: UpdateUnderWay): Promise<void> {
    const seen = await this.trial.late(update);
    if ('reason' in seen)
      return this.journal.enter('rollback_required', { message: `it turned bad: ${seen.reason}` });
    await this.alarm.sleep(seen.lookAgainMs ?? LONG_MS, this.context.stop);
  }

  private async home({ serviceType, to }: UpdateUnderWay): Promise<MigrationHome> {
    return {
      product: this.product,
      serviceType,
      definition: await this.context.catalogue.definitionOf(serviceType),
      releaseDirectory: this.context.releases.pathOf(this.product, to),
      bundlePath: (sha256) => this.downloads.pathOf({ sha256 }),
    };
  }

  private identity(): Wanted | null {
    if (this.wanted === null) return null;
    const { assignmentId, epoch, toVersion, artifact, phase } = this.wanted;
    return { assignmentId, epoch, toVersion, sha256: artifact.sha256, isGranted: phase === 'granted' };
  }

  protected get record(): UpdateRecord {
    return this.journal.record;
  }

  /** Keeps what the product runs on, what it can go back to, and what a migration may have to be undone by. */
  protected async prune(): Promise<void> {
    const { lastGood, applied, update } = this.record;
    const kept = [...applied, ...(update?.undone ?? [])].map(({ migration }) => migration.bundle);
    const isOver = update === null || ['running', 'rolled_back', 'failed'].includes(update.state);
    const wanted = isOver ? [] : [update, ...update.migrations.map(({ bundle }) => bundle)];
    await this.downloads.keepOnly([...kept, ...wanted]);
    const ways = isOver ? [] : [update.from, update.to];
    await this.context.releases.keepOnly(this.product, [lastGood, ...ways]);
  }
}

function isPreparing(state: UpdateState): boolean {
  return ['checking', 'downloading', 'verifying', 'staging'].includes(state);
}
