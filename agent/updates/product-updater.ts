import { statfs } from 'node:fs/promises';
import { compare } from 'semver';
import { Alarm } from '../alarm.js';
import { afterFailure, type LoopContext } from '../loop.js';
import type { ServiceCatalogue } from '../supervisor/service-catalogue.js';
import { DEFAULT_TERMS, type ServiceDefinition } from '../supervisor/service-definition.js';
import type { Supervisor } from '../supervisor/supervisor.js';
import { type ArtifactDownloads, isContent, WrongContent } from './artifact-download.js';
import type { ArtifactSource } from './artifact-source.js';
import { type DataMigrations, type MigrationHome, migrationPlan, planObstacle } from './data-migrations.js';
import { type InstalledReleases, installedAs } from './installed-releases.js';
import { ReleaseRefused, verifyRelease } from './release-envelope.js';
import type { ContentId } from './release-manifest.js';
import type { ReleasePins } from './release-pins.js';
import { ServiceJudge, type Verdict } from './service-judge.js';
import type { SnapshotUpdate } from './snapshot-update.js';
import { UnsafeArchive } from './unpack.js';
import { moved, type UpdateRecord, type UpdateRecords, type UpdateUnderWay } from './update-record.js';
import type { UpdateReporter } from './update-reporter.js';
import { HELD_STATES, nextMove, type UpdateState, type Wanted, wayToIdle } from './update-state.js';

/** What the updater of a product works with. */
export interface UpdaterContext extends LoopContext {
  records: UpdateRecords;
  reporter: UpdateReporter;
  releases: InstalledReleases;
  catalogue: ServiceCatalogue;
  supervisor: Supervisor;
  pins: ReleasePins;
  migrations: DataMigrations;
  /** Where a file comes from, in the order in which they are asked. */
  sourcesFor: (file: ContentId) => readonly ArtifactSource[];
  host: { os: string; arch: string };
}

/** Starts of the agent in one state that changes the service, after which the update is taken back. */
const MAX_RESTARTS = 5;
/** A fenced product asks so often whether an operator has taken it out of its fence. */
const FENCED_ASK_MS = 10_000;
const LONG_MS = 3_600_000;
/** Who was turned away asks again after this, or when it is told anew. */
const TURNED_AWAY_MS = 1_000;
/** What a release may take when it is unpacked, beside its file. */
const SPACE_FACTOR = 3;

/** Where an updater looks up and unpacks releases, before anything is out of service. */
export type ReleaseStore = Pick<InstalledReleases, 'current' | 'has' | 'stage'>;

/** The update must end here, and nothing has happened to the service. */
export class NotPossible extends Error {}

/**
 * Takes one product from version to version, as the snapshot wants it, one durable step after another. Whatever is cut
 * short is taken up again from the record: what each step does can be done twice.
 */
export class ProductUpdater {
  private readonly alarm = new Alarm();
  private wanted: SnapshotUpdate | null = null;
  /** Ends what is being made ready for another update than the one that is wanted. */
  private preparation = new AbortController();
  private lateJudge: ServiceJudge | null = null;
  private isActive = false;
  /** The service that is kept at rest. */
  private held: string | null = null;
  private retryAt: number | null = null;
  private askedAt = Number.NEGATIVE_INFINITY;

  constructor(
    private readonly product: string,
    protected readonly downloads: ArtifactDownloads,
    protected readonly context: UpdaterContext,
  ) {}

  /** Takes on what the snapshot wants; null: nothing. Whether the membership is active decides what counts as well. */
  want(update: SnapshotUpdate | null, isActive: boolean): void {
    this.wanted = update;
    this.isActive = isActive;
    if (nextMove(this.record.update, this.identity()) === 'withdraw') this.preparation.abort();
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
    await this.change({ restarts: update.restarts + 1 });
    if (update.isLetGo && HELD_STATES.includes(update.state)) this.hold(update);
  }

  /** Updates until stopped. @throws IdentityRefused */
  async run(): Promise<void> {
    const { stop } = this.context;
    let failures = 0;
    while (!stop.aborted) {
      this.preparation = new AbortController();
      const { signal } = this.preparation;
      const abort = (): void => this.preparation.abort();
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
    const { wanted } = this;
    const { update } = this.record;
    if (this.held !== null && (update === null || !HELD_STATES.includes(update.state))) await this.letRun();
    switch (nextMove(update, this.identity())) {
      case 'begin':
        if (wanted !== null) await this.begin(wanted);
        return;
      case 'withdraw':
        if (update === null) return;
        for (const state of wayToIdle(update.state)) await this.enter(state);
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
    await this.context.records.change(this.product, (record) => {
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
    this.lateJudge = null;
    this.told();
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
          return await this.download(update, signal);
        case 'verifying':
          return await this.verify(update, wanted);
        default:
          return await this.stage(update);
      }
    } catch (error) {
      const { message } = error as Error;
      const isFinal = [NotPossible, ReleaseRefused, WrongContent, UnsafeArchive].some(
        (kind) => error instanceof kind,
      );
      if (!isFinal) throw error;
      const isSigned = !(error instanceof NotPossible);
      if (update.state === 'checking') await this.enter('downloading');
      // Who fails there is not asked to try the same bytes again.
      if (isSigned && this.record.update?.state === 'downloading') await this.enter('verifying');
      await this.enter('failed', { message, isFinal: isSigned });
      await this.prune();
    }
  }

  protected async check(wanted: SnapshotUpdate): Promise<void> {
    const pin = await this.pin();
    const { manifest, artifact } = verifyRelease(wanted.manifest, pin, this.toldBy(wanted));
    const { serviceType, definition } = await this.service();
    const obstacle = planObstacle(migrationPlan(this.record.applied, manifest), definition);
    if (obstacle !== null) throw new NotPossible(obstacle);
    const { maxBytes } = pin;
    await this.enter('downloading', { serviceType, artifact, maxBytes, migrations: manifest.migrations });
  }

  private async download(update: UpdateUnderWay, signal: AbortSignal): Promise<void> {
    const files = await this.filesOf(update);
    await this.assertSpace(files);
    for (const file of files) await this.downloads.fetch(file, this.context.sourcesFor(file), signal);
    await this.enter('verifying');
  }

  /** Once more, by the bytes as they lie on the disk, and by the keys that are pinned now. */
  private async verify(update: UpdateUnderWay, wanted: SnapshotUpdate): Promise<void> {
    verifyRelease(wanted.manifest, await this.pin(), this.toldBy(wanted));
    for (const file of await this.filesOf(update)) {
      if (!(await isContent(this.downloads.pathOf(file), file)))
        throw new WrongContent('the disk of this host', file);
    }
    await this.enter('staging');
  }

  private async stage(update: UpdateUnderWay): Promise<void> {
    const { artifact, to, maxBytes } = update;
    if (artifact === null) throw new Error('it is not known what to stage');
    if (update.isReady) return this.leave(update);
    const { mediaType } = artifact;
    const path = this.downloads.pathOf(artifact);
    await this.store.stage(this.product, to, { path, mediaType, maxBytes });
    await this.change({ isReady: true });
  }

  /** It may go out of service now; whether it can is looked at first. */
  protected async leave(update: UpdateUnderWay): Promise<void> {
    const { to } = update;
    const home = await this.home(update);
    const plan = migrationPlan(this.record.applied, { version: to.version, migrations: update.migrations });
    const complaint = await this.context.migrations.preflight(plan, home);
    if (complaint !== null) throw new NotPossible(complaint);
    await this.enter(plan.run.length + plan.undo.length > 0 ? 'migrating' : 'starting');
  }

  /** From the point of no return on: it ends on a version that is well, or in the fence. */
  protected async carryOut(update: UpdateUnderWay): Promise<void> {
    if (!update.isLetGo && (update.state === 'migrating' || update.state === 'starting'))
      return this.waitForWord();
    if (update.restarts > MAX_RESTARTS) return this.giveUp(update);
    switch (update.state) {
      case 'migrating': {
        await this.takeOut(update);
        const complaint = await this.context.migrations.migrate(await this.home(update));
        return complaint === null
          ? this.enter('starting')
          : this.enter('rollback_required', { message: complaint });
      }
      case 'starting':
        await this.takeOut(update);
        await this.context.releases.switchTo(this.product, update.to);
        await this.letRun();
        return this.enter('health_checking');
      case 'health_checking': {
        const verdict = await this.judged(update, update.to.version);
        if (verdict === null) return;
        return verdict.kind === 'bad'
          ? this.enter('rollback_required', { message: verdict.reason })
          : this.enter('promoting');
      }
      case 'promoting':
        return this.promote(update);
      case 'rollback_required':
        return this.enter('rolling_back', { message: update.message });
      default:
        return this.goBack(update);
    }
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
    await this.change({ isLetGo: true, restarts: 0 });
  }

  private async promote({ from, serviceType }: UpdateUnderWay): Promise<void> {
    const { watchSeconds } = (await this.definition(serviceType)).update;
    const watchUntil = Date.now() + watchSeconds * 1_000;
    await this.enter('running', { watchUntil }, (record) => ({
      ...record,
      lastGood: from ?? record.lastGood,
    }));
    await this.prune();
  }

  private async goBack(update: UpdateUnderWay): Promise<void> {
    const { from, message } = update;
    await this.takeOut(update);
    const complaint = await this.context.migrations.revert(await this.home(update));
    if (complaint !== null) return this.fence(update, complaint);
    await this.context.releases.switchTo(this.product, from);
    await this.letRun();
    const verdict = from === null ? null : await this.judged(update, from.version);
    if (this.context.stop.aborted) return;
    if (verdict?.kind === 'bad')
      return this.fence(update, `${from?.version} is not well either: ${verdict.reason}`);
    await this.enter('rolled_back', { message });
    await this.prune();
  }

  private async fence(update: UpdateUnderWay, reason: string): Promise<void> {
    await this.enter('fenced', { message: `${update.message ?? 'the update failed'}; ${reason}` });
    this.hold(update);
  }

  /** Whatever is updated takes the agent with it, again and again. */
  private async giveUp(update: UpdateUnderWay): Promise<void> {
    const message = `the agent was started anew ${MAX_RESTARTS} times while it was ${update.state}`;
    if (update.state === 'rolling_back' || update.state === 'rollback_required')
      return this.fence(update, message);
    await this.enter('rollback_required', { message });
  }

  private async rest(): Promise<void> {
    const { stop } = this.context;
    const { update, reports } = this.record;
    if (update?.state === 'fenced') {
      const waitMs = this.askedAt + FENCED_ASK_MS - performance.now();
      if (waitMs > 0) return this.alarm.sleep(waitMs, stop);
      this.askedAt = performance.now();
      // The same report again: the answer tells whether the fence still stands.
      if (reports.length === 0) await this.repeatReport();
      return;
    }
    if (update?.state === 'failed' && !update.isFinal && this.wanted !== null)
      return this.tryAgain(this.wanted);
    const wakeMs = update?.state === 'running' ? await this.lookLate(update) : LONG_MS;
    if (wakeMs !== null) await this.alarm.sleep(wakeMs, stop);
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
    await this.context.records.change(this.product, (record) => {
      const { update } = record;
      if (update?.state !== 'fenced') return record;
      const { assignmentId, epoch, attempt, sequence, state, message, from } = update;
      const report = {
        assignmentId,
        epoch,
        attempt,
        sequence,
        state,
        message,
        version: from?.version ?? null,
      };
      return { ...record, reports: [report] };
    });
    this.context.reporter.ring();
  }

  /** Whether a version that was good has turned bad: milliseconds until the next look, null when it has. */
  private async lookLate(update: UpdateUnderWay): Promise<number | null> {
    const leftMs = update.watchUntil - Date.now();
    // The newer version that a way down has left is nothing to go back to.
    if (leftMs <= 0 || update.from === null || compare(update.to.version, update.from.version) < 0)
      return LONG_MS;
    const report = this.context.supervisor.look(update.serviceType);
    const isWell = report === null || (report.reportedState === 'running' && report.health !== 'unhealthy');
    if (isWell && this.lateJudge === null) return leftMs;
    this.lateJudge ??= await this.newJudge(update, update.to.version, false);
    const verdict = this.lateJudge.see(report, performance.now());
    if (verdict === null) return Math.max(0, this.lateJudge.wakeAt() - performance.now()) + 1;
    this.lateJudge = null;
    if (verdict.kind !== 'bad') return 0;
    await this.enter('rollback_required', { message: `it turned bad: ${verdict.reason}` });
    return null;
  }

  /** Whether the version comes up and stays well; null: stopped before that was known. */
  private async judged(update: UpdateUnderWay, version: string): Promise<Verdict | null> {
    const { supervisor, stop } = this.context;
    const judge = await this.newJudge(update, version, true);
    while (!stop.aborted) {
      await supervisor.whenSettled();
      const verdict = judge.see(supervisor.look(update.serviceType), performance.now());
      // Of a node that is disabled nothing runs, and nothing is learned.
      if (verdict !== null && (this.isActive || verdict.kind !== 'not_wanted')) return verdict;
      await this.alarm.sleep(Math.max(0, judge.wakeAt() - performance.now()) + 1, stop);
    }
    return null;
  }

  private async newJudge(update: UpdateUnderWay, version: string, isNew: boolean): Promise<ServiceJudge> {
    const { healthSeconds, settleSeconds } = (await this.definition(update.serviceType)).update;
    const deadline = performance.now() + healthSeconds * 1_000;
    return new ServiceJudge({ version, deadline, settleMs: settleSeconds * 1_000, isNew });
  }

  private async takeOut(update: UpdateUnderWay): Promise<void> {
    this.hold(update);
    await this.context.supervisor.whenAtRest(update.serviceType);
  }

  private hold({ serviceType, state, to }: UpdateUnderWay): void {
    const why =
      state === 'fenced'
        ? `fenced: the way to ${to.version} failed, and the way back`
        : `on the way to ${to.version}`;
    this.context.supervisor.hold(serviceType, why);
    this.held = serviceType;
  }

  private async letRun(): Promise<void> {
    const { held } = this;
    this.held = null;
    if (held !== null) await this.context.supervisor.release(held);
  }

  protected async pin() {
    const pin = await this.context.pins.forProduct(this.product).catch((error: Error) => {
      throw new NotPossible(error.message);
    });
    if (pin !== null) return pin;
    throw new NotPossible(
      `this host has pinned no release keys for ${this.product}: ${this.context.pins.advice}`,
    );
  }

  private async service() {
    return this.context.catalogue.serviceOf(this.product).catch((error: Error) => {
      throw new NotPossible(error.message);
    });
  }

  private async definition(serviceType: string): Promise<ServiceDefinition> {
    return this.context.catalogue.definitionOf(serviceType);
  }

  private async home(update: UpdateUnderWay): Promise<MigrationHome> {
    const { serviceType, to } = update;
    return {
      product: this.product,
      serviceType,
      definition: await this.definition(serviceType),
      releaseDirectory: this.context.releases.pathOf(this.product, to),
      bundlePath: (sha256) => this.downloads.pathOf({ sha256 }),
    };
  }

  /** What has to be downloaded: the release unless it is still there, and the bundles of its migrations. */
  private async filesOf({ artifact, to, migrations }: UpdateUnderWay): Promise<ContentId[]> {
    const bundles = migrations.map(({ bundle }) => bundle);
    if (artifact === null || (await this.store.has(this.product, to))) return bundles;
    return [artifact, ...bundles];
  }

  private async assertSpace(files: readonly ContentId[]): Promise<void> {
    const held = await Promise.all(files.map((file) => this.downloads.held(file)));
    const needed = files.reduce((sum, { size }, index) => sum + size * SPACE_FACTOR - (held[index] ?? 0), 0);
    const { bavail, bsize } = await statfs(await this.downloads.prepare());
    if (needed > bavail * bsize)
      throw new NotPossible(`the disk of this host lacks space: ${needed} bytes are needed`);
  }

  protected toldBy({ product, toVersion, artifact }: SnapshotUpdate) {
    return { product, version: toVersion, ...this.context.host, artifact };
  }

  private identity(): Wanted | null {
    if (this.wanted === null) return null;
    const { assignmentId, epoch, toVersion, artifact, phase } = this.wanted;
    return { assignmentId, epoch, toVersion, sha256: artifact.sha256, isGranted: phase === 'granted' };
  }

  /** Where its releases are installed. */
  protected get store(): ReleaseStore {
    return this.context.releases;
  }

  protected get record(): UpdateRecord {
    return this.context.records.of(this.product);
  }

  /** Durable, and then told. */
  protected async enter(
    state: UpdateState,
    change: Partial<UpdateUnderWay> = {},
    more: (record: UpdateRecord) => UpdateRecord = (record) => record,
  ): Promise<void> {
    await this.context.records.change(this.product, (record) => more(moved(record, state, change)));
    this.told();
  }

  private told(): void {
    const { update } = this.record;
    if (update === null) return;
    const { state, to, from, message } = update;
    this.context.log.info('update.moved', {
      product: this.product,
      state,
      fromVersion: from?.version ?? null,
      toVersion: to.version,
      ...(message !== null && { detail: message }),
    });
    this.context.reporter.ring();
  }

  /** Without a report. */
  private async change(change: Partial<UpdateUnderWay>): Promise<void> {
    await this.context.records.change(this.product, (record) =>
      record.update === null ? record : { ...record, update: { ...record.update, ...change } },
    );
  }

  /** Keeps what the product runs on, what it can go back to, and what a migration may have to be undone by. */
  protected async prune(): Promise<void> {
    const { lastGood, applied, update } = this.record;
    const kept = [...applied, ...(update?.undone ?? [])].map(({ migration }) => migration.bundle);
    const isOver = update === null || ['running', 'rolled_back', 'failed'].includes(update.state);
    const wanted = isOver ? [] : [update, ...update.migrations.map(({ bundle }) => bundle)];
    await this.downloads.keepOnly([...kept, ...wanted]);
    await this.context.releases.keepOnly(this.product, [lastGood, isOver ? null : update.to]);
  }
}

function isPreparing(state: UpdateState): boolean {
  return ['checking', 'downloading', 'verifying', 'staging'].includes(state);
}
