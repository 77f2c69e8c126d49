import { chmod } from 'node:fs/promises';
import { compare } from 'semver';
import type { ServiceDefinition } from '../supervisor/service-definition.js';
import { isContent } from './artifact-download.js';
import type { ReleaseCommands } from './release-commands.js';
import type { ReleaseManifest, ReleaseMigration } from './release-manifest.js';
import type { AppliedMigration, UpdateRecord, UpdateRecords, UpdateUnderWay } from './update-record.js';

/** What a migration is run with. */
export interface MigrationHome {
  product: string;
  serviceType: string;
  definition: ServiceDefinition;
  /** Where the files of the new release are. */
  releaseDirectory: string;
  /** Where the bundle of a digest lies. */
  bundlePath: (sha256: string) => string;
}

/** What is to be done to the data on the way to another version. */
export interface MigrationPlan {
  /** From the last one backwards. */
  undo: readonly AppliedMigration[];
  run: readonly ReleaseMigration[];
}

/** Up: what has not been run here. Down: what newer releases than the target have run is undone. */
export function migrationPlan(
  applied: readonly AppliedMigration[],
  { version, migrations }: Pick<ReleaseManifest, 'version' | 'migrations'>,
): MigrationPlan {
  const undo = applied.filter(({ release }) => compare(release, version) > 0).reverse();
  const kept = new Set(applied.filter((each) => !undo.includes(each)).map(({ migration }) => migration.id));
  return { undo, run: migrations.filter(({ id }) => !kept.has(id)) };
}

/** Why a plan cannot be carried out on this host; null: it can. Before anything has happened. */
export function planObstacle({ undo, run }: MigrationPlan, definition: ServiceDefinition): string | null {
  const final = undo.find(({ migration }) => !migration.downgradePossible);
  if (final !== undefined)
    return `migration ${final.migration.id} of ${final.release} was run here, and there is no way back from it`;
  const saved = run.find(({ backupRequired }) => backupRequired);
  return saved !== undefined && definition.update.backup === null
    ? `migration ${saved.id} needs a backup, and this host has no "backup" for the service`
    : null;
}

/**
 * Runs the migrations of an update, and takes them back. Each step is written down before and after it, so that one that
 * was cut short is run again: a bundle must bear that, and the order never changes.
 */
export class DataMigrations {
  constructor(
    private readonly records: UpdateRecords,
    private readonly commands: ReleaseCommands,
  ) {}

  /** Asks each bundle whether it could be run now, and looks whether that of each that is to be undone is still here;
   *  nothing is changed. Null: the plan can be carried out. */
  async preflight({ undo, run }: MigrationPlan, home: MigrationHome): Promise<string | null> {
    for (const { migration } of undo) {
      if (!(await isContent(home.bundlePath(migration.bundle.sha256), migration.bundle)))
        return `migration ${migration.id} cannot be undone: its bundle is not on this host any more`;
    }
    for (const migration of run) {
      const complaint = await this.call(migration, 'preflight', home);
      if (complaint !== null) return `the preflight of migration ${migration.id} ${complaint}`;
    }
    return null;
  }

  /** Carries out what is left of the plan. Null: all of it is done. */
  async migrate(home: MigrationHome): Promise<string | null> {
    for (;;) {
      const update = this.update(home);
      const { undo, run } = migrationPlan(this.records.of(home.product).applied, {
        version: update.to.version,
        migrations: update.migrations,
      });
      const [back] = undo;
      const [next] = run;
      if (back === undefined && next === undefined) return null;
      const complaint =
        back !== undefined
          ? await this.undoOne(back, home)
          : ((await this.save(run, home)) ?? (next === undefined ? null : await this.runOne(next, home)));
      if (complaint !== null) return complaint;
    }
  }

  /** Brings the data back to where it was when the update began. Null: it is there. */
  async revert(home: MigrationHome): Promise<string | null> {
    const { done, begun, hasBackup, migrations } = this.update(home);
    const final = done.find(({ migration }) => !migration.downgradePossible);
    if (final !== undefined)
      return `there is no way back from migration ${final.migration.id}, which was run`;
    const broken = migrations.find(({ id }) => id === begun);
    if (hasBackup) {
      const { restore } = home.definition.update;
      const complaint = restore === null ? 'there is no "restore"' : await this.host(restore, home);
      if (complaint !== null) return `the backup was not brought back: ${complaint}`;
    } else {
      if (broken?.downgradePossible === false)
        return `there is no way back from migration ${broken.id}, which was begun`;
      const taken = done.map(({ migration }) => migration).reverse();
      for (const migration of broken === undefined ? taken : [broken, ...taken]) {
        const complaint = await this.call(migration, 'rollback', home);
        if (complaint !== null) return `migration ${migration.id} was not undone: ${complaint}`;
      }
    }
    await this.note(home, ({ applied, ...rest }) => ({
      ...rest,
      applied: applied.filter((each) => !done.some((one) => one.migration.id === each.migration.id)),
      update: { ...this.update(home), done: [], begun: null, hasBackup: false },
    }));
    return this.redo(home);
  }

  /** What was undone on a way down that was not gone to its end. */
  private async redo(home: MigrationHome): Promise<string | null> {
    for (;;) {
      const { undone } = this.update(home);
      const last = undone.at(-1);
      if (last === undefined) return null;
      const complaint = await this.call(last.migration, 'migrate', home);
      if (complaint !== null) return `migration ${last.migration.id} was not run again: ${complaint}`;
      await this.note(home, (record) => ({
        ...record,
        applied: [...record.applied.filter(({ migration }) => migration.id !== last.migration.id), last],
        update: { ...this.update(home), undone: undone.slice(0, -1) },
      }));
    }
  }

  private async undoOne(applied: AppliedMigration, home: MigrationHome): Promise<string | null> {
    const { migration } = applied;
    const { undone } = this.update(home);
    // First: one that was undone in part is run again on the way back.
    if (!undone.some((each) => each.migration.id === migration.id))
      await this.note(home, (record) => ({
        ...record,
        update: { ...this.update(home), undone: [...undone, applied] },
      }));
    const complaint = await this.call(migration, 'rollback', home);
    if (complaint !== null) return `migration ${migration.id} was not undone: ${complaint}`;
    await this.note(home, (record) => ({
      ...record,
      applied: record.applied.filter((each) => each.migration.id !== migration.id),
    }));
    return null;
  }

  /** Takes the backup before the first of these is run, whichever of them asks for it: what is restored is what was there
   *  before all of them. */
  private async save(run: readonly ReleaseMigration[], home: MigrationHome): Promise<string | null> {
    if (this.update(home).hasBackup || !run.some(({ backupRequired }) => backupRequired)) return null;
    const { backup } = home.definition.update;
    const complaint = backup === null ? 'there is no "backup"' : await this.host(backup, home);
    if (complaint !== null) return `there is no backup: ${complaint}`;
    await this.note(home, (record) => ({ ...record, update: { ...this.update(home), hasBackup: true } }));
    return null;
  }

  private async runOne(migration: ReleaseMigration, home: MigrationHome): Promise<string | null> {
    await this.note(home, (record) => ({ ...record, update: { ...this.update(home), begun: migration.id } }));
    const complaint = await this.call(migration, 'migrate', home);
    if (complaint !== null) return `migration ${migration.id} ${complaint}`;
    await this.note(home, (record) => {
      const update = this.update(home);
      const applied = { release: update.to.version, migration };
      return {
        ...record,
        applied: [...record.applied, applied],
        update: { ...update, begun: null, done: [...update.done, applied] },
      };
    });
    return null;
  }

  private async call(
    migration: ReleaseMigration,
    what: 'preflight' | 'migrate' | 'rollback',
    home: MigrationHome,
  ): Promise<string | null> {
    const program = home.bundlePath(migration.bundle.sha256);
    try {
      await chmod(program, 0o700);
    } catch (error) {
      return `cannot be called: ${(error as Error).message}`;
    }
    return this.host([program, what], home, {
      RAP_MIGRATION_ID: migration.id,
      RAP_MIGRATION_TARGET: migration.target,
      RAP_MIGRATION_SOURCE_VERSION: migration.sourceVersion,
      RAP_MIGRATION_TARGET_VERSION: migration.targetVersion,
      RAP_MIGRATION_PREFLIGHT: JSON.stringify(migration.preflight),
      RAP_MIGRATION_ROLLBACK: JSON.stringify(migration.rollback),
    });
  }

  private host(
    command: readonly string[],
    { product, serviceType, definition, releaseDirectory }: MigrationHome,
    more: Record<string, string> = {},
  ): Promise<string | null> {
    return this.commands.run({
      ...{ product, serviceType, command },
      env: { ...definition.env, RAP_RELEASE_DIR: releaseDirectory, ...more },
      cwd: definition.cwd,
      timeoutSeconds: definition.update.migrationSeconds,
    });
  }

  private update({ product }: MigrationHome): UpdateUnderWay {
    const { update } = this.records.of(product);
    if (update === null) throw new Error(`no update of ${product} is under way`);
    return update;
  }

  private async note(
    { product }: MigrationHome,
    change: (record: UpdateRecord) => UpdateRecord,
  ): Promise<void> {
    await this.records.change(product, change);
  }
}
