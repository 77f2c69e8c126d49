import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { Log } from '../log.js';
import { parseDefinition } from '../supervisor/service-definition.js';
import { DataMigrations, type MigrationHome, migrationPlan, planObstacle } from './data-migrations.js';
import { installedAs } from './installed-releases.js';
import { ReleaseCommands } from './release-commands.js';
import type { ReleaseMigration } from './release-manifest.js';
import { type AppliedMigration, type UpdateRecord, UpdateRecords } from './update-record.js';

/** The data of the service is the list of the migrations that it has been through. One that breaks has begun before. */
const BUNDLE = `#!/bin/sh
cd "$PLACE" && echo "$RAP_MIGRATION_ID $1" >> notes
case $1 in
  migrate) grep -qx "$RAP_MIGRATION_ID" data || echo "$RAP_MIGRATION_ID" >> data ;;
  rollback) grep -vx "$RAP_MIGRATION_ID" data > rest; mv rest data ;;
esac
[ ! -e "$1-$RAP_MIGRATION_ID-breaks" ]
`;
const sh = (script: string): string[] => ['/bin/sh', '-c', `cd "$PLACE" && ${script}`];
const BACKUP = sh('echo backup >> notes; [ ! -e backup-breaks ] && cp data saved');
const RESTORE = sh('echo restore >> notes; cp saved data');
const CONTENT = { sha256: createHash('sha256').update(BUNDLE).digest('hex'), size: BUNDLE.length };
const PRODUCT = 'relay';

let place: string;
beforeEach(async () => {
  place = await mkdtemp(join(tmpdir(), 'migrations-'));
  await fresh();
});
afterEach(() => rm(place, { recursive: true, force: true }));

/** The host as it was before any update. */
async function fresh(...data: readonly string[]): Promise<void> {
  await rm(place, { recursive: true, force: true });
  await mkdir(place);
  await writeFile(join(place, CONTENT.sha256), BUNDLE);
  await writeFile(join(place, 'data'), data.map((line) => `${line}\n`).join(''));
}
const breaks = (what: string): Promise<void> => writeFile(join(place, `${what}-breaks`), '');
async function linesOf(name: string): Promise<string[]> {
  const text = await readFile(join(place, name), 'utf8').catch(() => '');
  return text.split('\n').filter((line) => line !== '');
}

const migration = (id: string, change: Partial<ReleaseMigration> = {}): ReleaseMigration => ({
  ...{ id, target: 'node-local', sourceVersion: '1', targetVersion: '2', preflight: null, rollback: null },
  ...{ backupRequired: false, downgradePossible: true, bundle: CONTENT, ...change },
});
const appliedBy = (release: string, id: string): AppliedMigration => ({ release, migration: migration(id) });

const definition = (update: object = { backup: BACKUP, restore: RESTORE }) =>
  parseDefinition({ product: PRODUCT, command: ['bin/relay'], env: { PLACE: place }, update });
const home = (update?: object): MigrationHome => ({
  ...{ product: PRODUCT, serviceType: 'relay-node', definition: definition(update) },
  ...{ releaseDirectory: place, bundlePath: (sha256) => join(place, sha256) },
});

/** A product on its way to a version, of which `migrations` are the manifest's. */
async function onTheWay(
  version: string,
  migrations: readonly ReleaseMigration[],
  applied: readonly AppliedMigration[] = [],
): Promise<UpdateRecords> {
  const records = await UpdateRecords.open(join(place, 'records'));
  const to = installedAs(version, CONTENT);
  await records.change(PRODUCT, (record) => ({
    ...record,
    applied,
    update: {
      ...{ assignmentId: 'a', epoch: 1, toVersion: version, sha256: CONTENT.sha256, state: 'migrating' },
      ...{ isReady: true, attempt: 1, sequence: 5, serviceType: 'relay-node', from: null, to, migrations },
      ...{ artifact: null, maxBytes: 0, isLetGo: true, begun: null, undone: [], done: [], hasBackup: false },
      ...{ isFinal: false, restarts: 0, watchUntil: 0, message: null },
    },
  }));
  return records;
}
function at(records: UpdateRecords): DataMigrations {
  const commands = new ReleaseCommands(join(place, 'commands'), {}, new Log('error', () => undefined));
  return new DataMigrations(records, commands);
}
const idsOf = ({ applied }: UpdateRecord): string[] => applied.map(({ migration: { id } }) => id);

describe('the migrations of an update', () => {
  it('are run behind a backup that is older than all of them, and the backup brings all of them back', async () => {
    const records = await onTheWay('2.0.0', [migration('one'), migration('two', { backupRequired: true })]);
    await breaks('migrate-two');
    expect(await at(records).migrate(home())).toMatch(/^migration two ended with exit code 1/);
    expect(await linesOf('data')).toEqual(['one', 'two']);
    expect(await at(records).revert(home())).toBeNull();
    expect(await linesOf('data')).toEqual([]);
    expect(await linesOf('notes')).toEqual(['backup', 'one migrate', 'two migrate', 'restore']);
    expect(idsOf(records.of(PRODUCT))).toEqual([]);
  });

  it('do not begin without the backup that one of them asks for', async () => {
    const records = await onTheWay('2.0.0', [migration('one'), migration('two', { backupRequired: true })]);
    await breaks('backup');
    expect(await at(records).migrate(home())).toMatch(/^there is no backup: ended with exit code 1/);
    expect(await at(records).revert(home())).toBeNull();
    expect(await linesOf('notes')).toEqual(['backup']);
  });

  it('are undone by their bundles, the last one first, where none asks for a backup', async () => {
    const records = await onTheWay('2.0.0', [migration('one'), migration('two')]);
    await breaks('migrate-two');
    expect(await at(records).migrate(home())).not.toBeNull();
    expect(await at(records).revert(home())).toBeNull();
    expect(await linesOf('notes')).toEqual(['one migrate', 'two migrate', 'two rollback', 'one rollback']);
    expect(await linesOf('data')).toEqual([]);
  });

  it.each<[string, ReleaseMigration[], string[], string]>([
    ['was run', [migration('one', { downgradePossible: false })], [], 'from migration one, which was run'],
    [
      'was begun',
      [migration('one'), migration('two', { downgradePossible: false })],
      ['migrate-two'],
      'from migration two, which was begun',
    ],
  ])('have no way back where one that cannot be undone %s', async (_, migrations, broken, reason) => {
    const records = await onTheWay('2.0.0', migrations);
    for (const what of broken) await breaks(what);
    await at(records).migrate(home());
    expect(await at(records).revert(home())).toBe(`there is no way back ${reason}`);
    expect((await linesOf('notes')).some((note) => note.endsWith('rollback'))).toBe(false);
  });

  it('of newer releases are undone on the way down, and run again where that way breaks', async () => {
    const applied = [appliedBy('2.0.0', 'one'), appliedBy('3.0.0', 'two'), appliedBy('1.0.0', 'base')];
    await fresh('base', 'one', 'two');
    const down = await onTheWay('1.0.0', [], applied);
    expect(await at(down).migrate(home())).toBeNull();
    expect([await linesOf('data'), idsOf(down.of(PRODUCT))]).toEqual([['base'], ['base']]);
    expect(await linesOf('notes')).toEqual(['two rollback', 'one rollback']);

    await fresh('base', 'one', 'two');
    const broken = await onTheWay('1.0.0', [], applied);
    await breaks('rollback-one');
    expect(await at(broken).migrate(home())).toMatch(/^migration one was not undone/);
    expect(await at(broken).revert(home())).toBeNull();
    expect(await linesOf('data')).toEqual(['base', 'one', 'two']);
    expect(idsOf(broken.of(PRODUCT)).sort()).toEqual(['base', 'one', 'two']);
  });

  it('are not begun where a bundle says no, or that of one that is to be undone is gone', async () => {
    const records = await onTheWay('2.0.0', []);
    await breaks('preflight-one');
    const up = migrationPlan([], { version: '2.0.0', migrations: [migration('one')] });
    expect(await at(records).preflight(up, home())).toMatch(/^the preflight of migration one ended with/);
    const down = migrationPlan([appliedBy('2.0.0', 'one')], { version: '1.0.0', migrations: [] });
    expect(await at(records).preflight(down, home())).toBeNull();
    await rm(join(place, CONTENT.sha256));
    expect(await at(records).preflight(down, home())).toMatch(/its bundle is not on this host any more$/);
    const late = await onTheWay('1.0.0', [], [appliedBy('2.0.0', 'one')]);
    expect(await at(late).migrate(home())).toMatch(/^migration one was not undone: cannot be called/);
  });

  it('are refused beforehand where the host could not carry them out', () => {
    const final = { release: '2.0.0', migration: migration('one', { downgradePossible: false }) };
    const down = migrationPlan([final], { version: '1.0.0', migrations: [] });
    expect(planObstacle(down, definition())).toMatch(
      /^migration one of 2\.0\.0 was run here, and there is no/,
    );
    const saved = [migration('one'), migration('two', { backupRequired: true })];
    const up = migrationPlan([], { version: '2.0.0', migrations: saved });
    expect(planObstacle(up, definition({}))).toMatch(/^migration two needs a backup, and this host has no/);
    expect(planObstacle(up, definition())).toBeNull();
  });
});

/** The agent dies at the nth thing that it writes down, before or after it has. */
function dyingAt(records: UpdateRecords, nth: number, when: 'before' | 'after'): UpdateRecords {
  const change = records.change.bind(records);
  let writes = 0;
  records.change = async (...args) => {
    writes += 1;
    if (writes === nth && when === 'before') throw new Killed();
    const changed = await change(...args);
    if (writes === nth) throw new Killed();
    return changed;
  };
  return records;
}
class Killed extends Error {}

/** Does it, once more from what was written down where it was killed. Says whether it was. */
async function survives(records: UpdateRecords, work: (from: UpdateRecords) => Promise<unknown>) {
  const wasKilled = await work(records).then(
    () => false,
    (error: unknown) => error instanceof Killed,
  );
  if (wasKilled) await work(await UpdateRecords.open(join(place, 'records')));
  return wasKilled;
}

it.each(['before', 'after'] as const)(
  'migrations come to the same end and back although the agent is killed %s it writes any step of them down',
  async (when) => {
    const ways = [migration('one'), migration('two', { backupRequired: true })];
    const applied = [appliedBy('3.0.0', 'newer')];
    for (let nth = 1, isKilled = true; isKilled; nth += 1) {
      await fresh('newer');
      const records = dyingAt(await onTheWay('2.0.0', ways, applied), nth, when);
      isKilled = await survives(records, (from) => at(from).migrate(home()));
      expect([nth, await linesOf('data')]).toEqual([nth, ['one', 'two']]);
      const there = await UpdateRecords.open(join(place, 'records'));
      expect(idsOf(there.of(PRODUCT))).toEqual(['one', 'two']);
      const isKilledBack = await survives(dyingAt(there, nth, when), (from) => at(from).revert(home()));
      expect([nth, await linesOf('data')]).toEqual([nth, ['newer']]);
      const back = await UpdateRecords.open(join(place, 'records'));
      expect(idsOf(back.of(PRODUCT))).toEqual(['newer']);
      isKilled ||= isKilledBack;
      if (nth === 1) expect([isKilled, isKilledBack]).toEqual([true, true]);
    }
  },
);
