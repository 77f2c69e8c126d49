import { statfs } from 'node:fs/promises';
import { type ArtifactDownloads, isContent, WrongContent } from './artifact-download.js';
import { type MigrationHome, migrationPlan, planObstacle } from './data-migrations.js';
import { verifyRelease } from './release-envelope.js';
import type { ContentId } from './release-manifest.js';
import type { SnapshotUpdate } from './snapshot-update.js';
import type { UpdateJournal } from './update-journal.js';
import type { UpdateUnderWay } from './update-record.js';
import { NotPossible, type ReleaseStore, type UpdaterContext } from './updater-context.js';

/** What a release may take when it is unpacked, beside its file. */
const SPACE_FACTOR = 3;

/** The steps of an update that are taken while the service runs on. Whoever throws `NotPossible` has changed nothing. */
export class UpdatePreparation {
  constructor(
    private readonly journal: UpdateJournal,
    private readonly downloads: ArtifactDownloads,
    private readonly context: UpdaterContext,
    private readonly store: ReleaseStore,
  ) {}

  /** Whether this host may, and can, have what is wanted. */
  async check(wanted: SnapshotUpdate): Promise<void> {
    const pin = await this.pin();
    const { manifest, artifact } = verifyRelease(wanted.manifest, pin, this.toldBy(wanted));
    const { serviceType, definition } = await this.service();
    const obstacle = planObstacle(migrationPlan(this.journal.record.applied, manifest), definition);
    if (obstacle !== null) throw new NotPossible(obstacle);
    const { maxBytes } = pin;
    await this.journal.enter('downloading', {
      serviceType,
      artifact,
      maxBytes,
      migrations: manifest.migrations,
    });
  }

  async download(update: UpdateUnderWay, signal: AbortSignal): Promise<void> {
    const files = await this.filesOf(update);
    await this.assertSpace(files);
    for (const file of files) await this.downloads.fetch(file, this.context.sourcesFor(file), signal);
    await this.journal.enter('verifying');
  }

  /** Once more, by the bytes as they lie on the disk, and by the keys that are pinned now. */
  async verify(update: UpdateUnderWay, wanted: SnapshotUpdate): Promise<void> {
    verifyRelease(wanted.manifest, await this.pin(), this.toldBy(wanted));
    for (const file of await this.filesOf(update)) {
      if (!(await isContent(this.downloads.pathOf(file), file)))
        throw new WrongContent('the disk of this host', file);
    }
    await this.journal.enter('staging');
  }

  /** Unpacks it beside the others. */
  async stage({ artifact, to, maxBytes }: UpdateUnderWay): Promise<void> {
    if (artifact === null) throw new Error('it is not known what to stage');
    const { mediaType } = artifact;
    const path = this.downloads.pathOf(artifact);
    await this.store.stage(this.journal.product, to, { path, mediaType, maxBytes });
    await this.journal.change({ isReady: true });
  }

  /** It may go out of service now; whether it can is looked at first. */
  async leave({ to, migrations }: UpdateUnderWay, home: MigrationHome): Promise<void> {
    const plan = migrationPlan(this.journal.record.applied, { version: to.version, migrations });
    const complaint = await this.context.migrations.preflight(plan, home);
    if (complaint !== null) throw new NotPossible(complaint);
    await this.journal.enter(plan.run.length + plan.undo.length > 0 ? 'migrating' : 'starting');
  }

  /** The keys by which this host knows releases of the product. */
  async pin() {
    const { product } = this.journal;
    const { pins } = this.context;
    const pin = await pins.forProduct(product).catch((error: Error) => {
      throw new NotPossible(error.message);
    });
    if (pin !== null) return pin;
    throw new NotPossible(`this host has pinned no release keys for ${product}: ${pins.advice}`);
  }

  /** What the manifest has to say of itself. */
  toldBy({ product, toVersion, artifact }: SnapshotUpdate) {
    return { product, version: toVersion, ...this.context.host, artifact };
  }

  private async service() {
    return this.context.catalogue.serviceOf(this.journal.product).catch((error: Error) => {
      throw new NotPossible(error.message);
    });
  }

  /** What has to be downloaded: the release unless it is still there, and the bundles of its migrations. */
  private async filesOf({ artifact, to, migrations }: UpdateUnderWay): Promise<ContentId[]> {
    const bundles = migrations.map(({ bundle }) => bundle);
    if (artifact === null || (await this.store.has(this.journal.product, to))) return bundles;
    return [artifact, ...bundles];
  }

  private async assertSpace(files: readonly ContentId[]): Promise<void> {
    const held = await Promise.all(files.map((file) => this.downloads.held(file)));
    const needed = files.reduce((sum, { size }, index) => sum + size * SPACE_FACTOR - (held[index] ?? 0), 0);
    const { bavail, bsize } = await statfs(await this.downloads.prepare());
    if (needed > bavail * bsize)
      throw new NotPossible(`the disk of this host lacks space: ${needed} bytes are needed`);
  }
}
