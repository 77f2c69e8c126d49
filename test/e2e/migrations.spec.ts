import { createHash, randomUUID } from 'node:crypto';
import { cp, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import pg from 'pg';
import { migrate } from '../../src/common/database/migrations/migrator.js';
import { projectRoot } from '../../src/common/project-root.js';
import { createTestDatabase, type TestDatabase } from '../support/test-database.js';

const FOLDER = join(projectRoot(), 'prisma', 'migrations');

let database: TestDatabase;
let owner: pg.Client;
let app: pg.Client;
beforeEach(async () => {
  database = await createTestDatabase();
  owner = await connected(database.ownerUrl);
  app = await connected(database.appUrl);
});
afterEach(async () => {
  await Promise.all([owner.end(), app.end()]);
  await database.drop();
});

async function connected(connectionString: string): Promise<pg.Client> {
  const client = new pg.Client({ connectionString });
  await client.connect();
  return client;
}

async function names(): Promise<string[]> {
  const entries = await readdir(FOLDER, { withFileTypes: true });
  return entries
    .filter((entry) => entry.isDirectory())
    .map(({ name }) => name)
    .sort();
}

/** As a database is before the first start. */
async function emptied(): Promise<void> {
  await owner.query('DROP SCHEMA public CASCADE; DROP SCHEMA bullmq CASCADE; CREATE SCHEMA public');
}

const recorded = async () =>
  (await owner.query<Record<string, unknown>>('SELECT * FROM _prisma_migrations ORDER BY migration_name'))
    .rows;

/** A folder of migrations with one more in it. */
async function folderWith(name: string, sql: string): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'fabric-migrations-'));
  await cp(FOLDER, folder, { recursive: true });
  await mkdir(join(folder, name));
  await writeFile(join(folder, name, 'migration.sql'), sql);
  return folder;
}

const tableExists = async (name: string): Promise<boolean> =>
  (await owner.query<{ found: boolean }>('SELECT to_regclass($1) IS NOT NULL AS found', [name])).rows[0]
    ?.found === true;

describe('migrating', () => {
  it('brings an empty database to the newest schema, once, however many start at once', async () => {
    await emptied();
    const results = await Promise.all(Array.from({ length: 4 }, () => migrate(database)));
    const all = await names();
    expect(results.flatMap(({ applied }) => applied).sort()).toEqual(all);
    expect((await recorded()).map((row) => row.migration_name)).toEqual(all);
    expect(await migrate(database)).toEqual({ applied: [] });
    await app.query('SELECT 1 FROM clusters');
  });

  it('records what it did as Prisma does', async () => {
    const { rows } = await owner.query(
      `SELECT column_name AS name, udt_name AS type, character_maximum_length AS length, is_nullable AS nullable
         FROM information_schema.columns WHERE table_name = '_prisma_migrations' ORDER BY ordinal_position`,
    );
    expect(rows).toEqual([
      { name: 'id', type: 'varchar', length: 36, nullable: 'NO' },
      { name: 'checksum', type: 'varchar', length: 64, nullable: 'NO' },
      { name: 'finished_at', type: 'timestamptz', length: null, nullable: 'YES' },
      { name: 'migration_name', type: 'varchar', length: 255, nullable: 'NO' },
      { name: 'logs', type: 'text', length: null, nullable: 'YES' },
      { name: 'rolled_back_at', type: 'timestamptz', length: null, nullable: 'YES' },
      { name: 'started_at', type: 'timestamptz', length: null, nullable: 'NO' },
      { name: 'applied_steps_count', type: 'int4', length: null, nullable: 'NO' },
    ]);
    for (const row of await recorded()) {
      const bytes = await readFile(join(FOLDER, String(row.migration_name), 'migration.sql'));
      expect(row).toEqual({
        id: expect.stringMatching(/^[0-9a-f-]{36}$/),
        checksum: createHash('sha256').update(bytes).digest('hex'),
        finished_at: expect.any(Date),
        migration_name: row.migration_name,
        logs: null,
        rolled_back_at: null,
        started_at: expect.any(Date),
        applied_steps_count: 1,
      });
    }
  });

  it('refuses a migration that was changed after it had been applied', async () => {
    const [first] = await names();
    await owner.query(`UPDATE _prisma_migrations SET checksum = 'changed' WHERE migration_name = $1`, [
      first,
    ]);
    await expect(migrate(database)).rejects.toThrow(
      `migration ${first} was changed after it had been applied`,
    );
  });

  it('refuses a database that is newer than the program', async () => {
    await owner.query(
      `INSERT INTO _prisma_migrations (id, checksum, migration_name, finished_at, applied_steps_count)
       VALUES ($1, 'x', '29990101000000_future', now(), 1)`,
      [randomUUID()],
    );
    await expect(migrate(database)).rejects.toThrow(/29990101000000_future.*older than the database/);
  });

  it('refuses a new migration that sorts before an applied one', async () => {
    const folder = await folderWith('20000101000000_late', 'CREATE TABLE late (id int)');
    try {
      await expect(migrate({ ...database, folder })).rejects.toThrow(/20000101000000_late sorts before/);
      expect(await tableExists('late')).toBe(false);
    } finally {
      await rm(folder, { recursive: true });
    }
  });

  it('refuses to go on where Prisma has stopped halfway, until that is resolved', async () => {
    await owner.query(
      `INSERT INTO _prisma_migrations (id, checksum, migration_name) VALUES ($1, 'x', '29990101000000_half')`,
      [randomUUID()],
    );
    await expect(migrate(database)).rejects.toThrow(
      /29990101000000_half is recorded as begun and not finished/,
    );
    await owner.query(
      `UPDATE _prisma_migrations SET rolled_back_at = now() WHERE migration_name = '29990101000000_half'`,
    );
    expect(await migrate(database)).toEqual({ applied: [] });
  });

  it('leaves nothing of a migration that fails, and takes it once it is mended', async () => {
    const name = '29990101000000_broken';
    const folder = await folderWith(
      name,
      'CREATE TABLE half (id int); INSERT INTO half VALUES (1); SELECT 1 / 0;',
    );
    try {
      await expect(migrate({ ...database, folder })).rejects.toThrow(
        `migration ${name} failed and was undone: division by zero`,
      );
      expect(await tableExists('half')).toBe(false);
      expect((await recorded()).map((row) => row.migration_name)).toEqual(await names());
      await writeFile(join(folder, name, 'migration.sql'), 'CREATE TABLE whole (id int)');
      expect(await migrate({ ...database, folder })).toEqual({ applied: [name] });
      expect(await tableExists('whole')).toBe(true);
      await app.query('INSERT INTO whole VALUES (1)');
    } finally {
      await rm(folder, { recursive: true });
    }
  });

  it('works where one role does all', async () => {
    await emptied();
    const all = { ownerUrl: database.ownerUrl, appUrl: database.ownerUrl };
    expect((await migrate(all)).applied).toEqual(await names());
  });

  it('takes back what somebody has granted too much', async () => {
    await owner.query('GRANT UPDATE, DELETE, TRUNCATE ON audit_events TO fabric_app');
    await owner.query('GRANT INSERT ON _prisma_migrations TO fabric_app');
    await migrate(database);
    const { rows } = await owner.query(
      `SELECT has_table_privilege('fabric_app', 'audit_events', 'UPDATE, DELETE, TRUNCATE') AS audit,
              has_table_privilege('fabric_app', '_prisma_migrations', 'INSERT') AS migrations`,
    );
    expect(rows).toEqual([{ audit: false, migrations: false }]);
  });
});

describe('the role that runs the service', () => {
  const event = `INSERT INTO audit_events (id, actor_type, action, resource_type, outcome, high_risk)
    VALUES (gen_random_uuid(), 'system', 'test.done', 'test', 'success', false)`;

  it.each([
    ['make a table', 'CREATE TABLE mine (id int)'],
    ['change a table', 'ALTER TABLE clusters ADD COLUMN mine int'],
    ['drop a table', 'DROP TABLE node_join_tokens CASCADE'],
    ['make an index', 'CREATE INDEX mine ON clusters (name)'],
    ['make a function', 'CREATE FUNCTION mine() RETURNS int LANGUAGE sql AS $$ SELECT 1 $$'],
    ['empty a table', 'TRUNCATE clusters CASCADE'],
    ['change an audit event', `UPDATE audit_events SET outcome = 'denied'`],
    ['remove an audit event', 'DELETE FROM audit_events'],
    ['empty the audit log', 'TRUNCATE audit_events'],
    [
      'merge into the audit log',
      `MERGE INTO audit_events AS e USING (SELECT 1) AS s ON true WHEN MATCHED THEN DELETE`,
    ],
    ['write past the parent table', event.replace('audit_events', 'audit_events_default')],
    ['change a partition', `UPDATE audit_events_default SET outcome = 'denied'`],
    ['empty a partition', 'TRUNCATE audit_events_default'],
    ['detach a partition', 'ALTER TABLE audit_events DETACH PARTITION audit_events_default'],
    ['put off the trigger', 'ALTER TABLE audit_events DISABLE TRIGGER ALL'],
    ['act as a replica, whom triggers do not stop', 'SET session_replication_role = replica'],
    ['become the owner', 'SET ROLE fabric_owner'],
    ['rewrite the log of migrations', 'DELETE FROM _prisma_migrations'],
    ['make partitions', 'SELECT ensure_audit_partitions(100)'],
  ])('cannot %s', async (_, statement) => {
    await expect(app.query(statement)).rejects.toMatchObject({ code: '42501' });
  });

  it('can add to the audit log and read it, and work with all other tables', async () => {
    await app.query(event);
    expect((await app.query(`SELECT 1 FROM audit_events WHERE action = 'test.done'`)).rowCount).toBe(1);
    await app.query(`INSERT INTO used_assertion_ids VALUES ('a', 'b', now())`);
    await app.query(`UPDATE used_assertion_ids SET jti = 'c'`);
    expect((await app.query('DELETE FROM used_assertion_ids')).rowCount).toBe(1);
    await app.query('CREATE TABLE bullmq.mine (id int)');
  });

  it('owns nothing but what the queue has made', async () => {
    const { rows } = await owner.query(
      `SELECT DISTINCT n.nspname AS schema FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
        WHERE pg_get_userbyid(c.relowner) = 'fabric_app' AND n.nspname !~ '^pg_'`,
    );
    expect(rows.filter(({ schema }) => schema !== 'bullmq')).toEqual([]);
  });

  it('shares a trigger with its owner that stops a slip', async () => {
    await owner.query(event);
    await expect(owner.query(`UPDATE audit_events SET outcome = 'denied'`)).rejects.toThrow(
      /never changed or removed/,
    );
    await expect(owner.query('DELETE FROM audit_events')).rejects.toThrow(/never changed or removed/);
    await expect(owner.query('DELETE FROM audit_events_default')).resolves.toMatchObject({ rowCount: 0 });
    await expect(owner.query('TRUNCATE audit_events')).rejects.toThrow(/never changed or removed/);
  });

  it('shares it with the owner on every partition, those that are made later included', async () => {
    const partitions = async () =>
      (
        await owner.query<{ name: string }>(
          `SELECT inhrelid::regclass::text AS name FROM pg_inherits WHERE inhparent = 'audit_events'::regclass ORDER BY 1`,
        )
      ).rows.map(({ name }) => name);
    const last = (await partitions()).filter((name) => !name.endsWith('default')).at(-1);
    await owner.query(`DROP TABLE ${last}`);
    await migrate(database);
    expect(await partitions()).toContain(last);
    for (const name of await partitions())
      await expect(owner.query(`TRUNCATE ${name}`)).rejects.toThrow(/never changed or removed/);
  });
});

describe('the partitions of the audit log', () => {
  const partitions = async (): Promise<string[]> =>
    (
      await owner.query<{ name: string }>(
        `SELECT inhrelid::regclass::text AS name FROM pg_inherits WHERE inhparent = 'audit_events'::regclass ORDER BY 1`,
      )
    ).rows.map(({ name }) => name);

  // The template may be of another month.
  beforeEach(async () => {
    await emptied();
    await migrate(database);
  });

  it('are those of this month and the twelve that follow, and a default one', async () => {
    const { rows } = await owner.query<{ name: string }>(
      `SELECT 'audit_events_' || to_char(date_trunc('month', now() AT TIME ZONE 'UTC') + make_interval(months => m), 'YYYY_MM') AS name
         FROM generate_series(0, 12) AS m`,
    );
    const wanted = [...rows.map(({ name }) => name), 'audit_events_default'].sort();
    expect((await partitions()).sort()).toEqual(wanted);
    await migrate(database);
    expect((await partitions()).sort()).toEqual(wanted);
  });

  it('meet without a gap at midnight UTC, whatever the time zone of the session', async () => {
    const last = (await partitions()).filter((name) => !name.endsWith('default')).at(-1);
    await owner.query(`DROP TABLE ${last}`);
    await owner.query(
      `ALTER DATABASE ${(await owner.query('SELECT current_database() AS db')).rows[0].db} SET timezone = 'America/New_York'`,
    );
    await migrate(database);
    await owner.query(`SET timezone = 'UTC'`);
    const { rows } = await owner.query<{ bound: string }>(
      `SELECT pg_get_expr(c.relpartbound, c.oid) AS bound FROM pg_class AS c
        WHERE c.oid IN (SELECT inhrelid FROM pg_inherits WHERE inhparent = 'audit_events'::regclass)`,
    );
    const bounds = rows.flatMap(({ bound }) => [...bound.matchAll(/'([^']+)'/g)].map(([, at]) => at));
    expect(bounds).toHaveLength(26);
    expect(bounds.filter((at) => !/^\d{4}-\d\d-01 00:00:00\+00$/.test(at ?? ''))).toEqual([]);
    expect(new Set(bounds).size).toBe(14);
  });

  it('do not stop the start when events of a month lie in the default one already', async () => {
    const names = (await partitions()).filter((name) => !name.endsWith('default'));
    for (const name of names) await owner.query(`DROP TABLE ${name}`);
    await app.query(`INSERT INTO audit_events (id, actor_type, action, resource_type, outcome, high_risk)
      VALUES (gen_random_uuid(), 'system', 'test.done', 'test', 'success', false)`);
    await migrate(database);
    expect(await partitions()).toEqual(expect.arrayContaining(names.slice(1)));
    expect((await app.query('SELECT 1 FROM audit_events')).rowCount).toBe(1);
  });
});
