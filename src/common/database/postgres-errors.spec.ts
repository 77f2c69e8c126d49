import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import pg from 'pg';
import {
  createTestDatabase,
  TEST_SERVER_VARIABLE,
  type TestDatabase,
  type TestServer,
} from '../../../test/support/test-database.js';
import { loadConfig } from '../config/config.js';
import { Database } from './database.js';
import { isRetryable, isTimeout, isUnavailable, postgresRefusal, violates } from './postgres-errors.js';
import { openDirectSession, openModelSession, type Session } from './session.js';
import { raw } from './sql.js';

let test: TestDatabase;
let database: Database;
let owner: pg.Client;
let admin: pg.Client;
beforeAll(async () => {
  test = await createTestDatabase();
  const urls = { appUrl: test.appUrl, directUrl: test.appUrl, ownerUrl: test.ownerUrl };
  const config = loadConfig({});
  database = new Database({ config, database: urls, masterKey: '', bootstrapToken: null, version: '' });
  owner = new pg.Client({ connectionString: test.ownerUrl });
  await owner.connect();
  const server = JSON.parse(process.env[TEST_SERVER_VARIABLE] ?? '') as TestServer;
  admin = new pg.Client({ connectionString: server.adminUrl });
  await admin.connect();
  await owner.query(`
    CREATE TABLE parents (id int CONSTRAINT parents_are_unique PRIMARY KEY);
    CREATE TABLE things (
      name text NOT NULL CONSTRAINT things_have_names CHECK (name <> ''),
      parent int CONSTRAINT things_have_parents REFERENCES parents (id));
    CREATE UNIQUE INDEX things_index ON things (lower(name));
    GRANT ALL ON parents, things TO fabric_app;
    INSERT INTO parents VALUES (1);
    INSERT INTO things VALUES ('one', 1);`);
});
afterAll(async () => {
  await owner.end();
  await admin.end();
  await database.onApplicationShutdown();
  await test.drop();
});

/** What a statement is refused with, by each of the drivers. */
const DRIVERS: [string, () => Promise<Session>][] = [
  ['pg', () => openDirectSession(database)],
  ['Prisma', () => openModelSession(database)],
];

async function refused(open: () => Promise<Session>, ...statements: string[]): Promise<unknown> {
  const session = await open();
  try {
    for (const statement of statements) await session.query(raw(statement));
  } catch (error) {
    return error;
  } finally {
    await session.rollback();
  }
  throw new Error('nothing was refused');
}

describe.each(DRIVERS)('a refusal that comes by %s', (_, open) => {
  it.each([
    ['a primary key', 'INSERT INTO parents VALUES (1)', '23505', 'parents_are_unique'],
    ['a unique index', `INSERT INTO things VALUES ('ONE', 1)`, '23505', 'things_index'],
    ['a foreign key', `INSERT INTO things VALUES ('two', 2)`, '23503', 'things_have_parents'],
    ['a check', `INSERT INTO things VALUES ('', 1)`, '23514', 'things_have_names'],
  ])('names %s', async (_kind, statement, sqlState, constraint) => {
    const error = await refused(open, statement);
    expect(postgresRefusal(error)).toEqual({ sqlState, constraint });
    expect(violates(error, constraint)).toBe(true);
    expect(violates(error, 'another')).toBe(false);
    expect([isRetryable(error), isTimeout(error), isUnavailable(error)]).toEqual([false, false, false]);
  });

  it.each([
    ['a missing value', 'INSERT INTO things VALUES (NULL, 1)', '23502'],
    ['a missing table', 'SELECT * FROM nowhere', '42P01'],
    ['a syntax error', 'SELEKT 1', '42601'],
    ['a missing right', 'CREATE TABLE mine (id int)', '42501'],
    ['a division by zero', 'SELECT 1 / 0', '22012'],
  ])('tells of %s by its state alone', async (_kind, statement, sqlState) => {
    const error = await refused(open, statement);
    expect(postgresRefusal(error)?.sqlState).toBe(sqlState);
    expect([isRetryable(error), isTimeout(error), isUnavailable(error)]).toEqual([false, false, false]);
  });

  it('can be tried again when it lost a deadlock', async () => {
    const error = await refused(
      open,
      `DO $$ BEGIN RAISE EXCEPTION 'x' USING ERRCODE = 'deadlock_detected'; END $$`,
    );
    expect(postgresRefusal(error)?.sqlState).toBe('40P01');
    expect(isRetryable(error)).toBe(true);
  });

  it('can be tried again when it could not be serialized', async () => {
    const error = await refused(
      open,
      `DO $$ BEGIN RAISE EXCEPTION 'x' USING ERRCODE = 'serialization_failure'; END $$`,
    );
    expect(postgresRefusal(error)?.sqlState).toBe('40001');
    expect(isRetryable(error)).toBe(true);
  });

  it('is a timeout when a lock or a statement takes too long', async () => {
    await owner.query('BEGIN; LOCK TABLE parents');
    const lock = await refused(open, `SET LOCAL lock_timeout = '20ms'`, 'SELECT * FROM parents');
    await owner.query('ROLLBACK');
    const statement = await refused(open, `SET LOCAL statement_timeout = '20ms'`, 'SELECT pg_sleep(5)');
    for (const error of [lock, statement])
      expect([isTimeout(error), isRetryable(error)]).toEqual([true, false]);
  });

  it.each([
    ['before it commits', (session: Session) => session.commit()],
    ['before its next statement', (session: Session) => session.query(raw('SELECT 1'))],
  ])('says that the database is away when the connection breaks %s', async (_, work) => {
    const session = await open();
    const [row] = await session.query<{ pid: number }>(raw('SELECT pg_backend_pid() AS pid'));
    await admin.query('SELECT pg_terminate_backend($1, 10000)', [row?.pid]);
    const error = await work(session).catch((thrown: unknown) => thrown);
    await session.rollback();
    expect(isUnavailable(error)).toBe(true);
  });

  it.each([
    ['is a standby', '25006'],
    ['has no connection left', '53300'],
    ['has no disk left', '53100'],
    ['ended a session that was paused', '25P03'],
    ['is stopping', '57P01'],
    ['has crashed', '57P02'],
  ])('says that the database is away when it %s', async (_, state) => {
    const error = await refused(open, `DO $$ BEGIN RAISE EXCEPTION 'x' USING ERRCODE = '${state}'; END $$`);
    expect(isUnavailable(error)).toBe(true);
  });

  it('says that the database is away when the connection breaks', async () => {
    const error = await refused(open, 'SELECT pg_terminate_backend(pg_backend_pid())');
    expect(isUnavailable(error)).toBe(true);
    const later = await refused(open, 'SELECT 1 / 0');
    expect(isUnavailable(later)).toBe(false);
  });
});

describe('an error', () => {
  it.each(['ConnectionClosed', 'DatabaseNotReachable', 'SocketTimeout'])(
    'of the adapter alone says that the database is away: %s',
    (kind) => {
      const error = Object.assign(new Error(kind), { name: 'DriverAdapterError', cause: { kind } });
      expect(isUnavailable(error)).toBe(true);
      expect(isUnavailable(Object.assign(error, { cause: { kind: 'TableDoesNotExist' } }))).toBe(false);
    },
  );

  it('says that the database is away when nobody listens', async () => {
    const pool = new pg.Pool({ connectionString: 'postgres://a:b@127.0.0.1:1/c' });
    const error = await pool.query('SELECT 1').catch((thrown: unknown) => thrown);
    expect(isUnavailable(error)).toBe(true);
    await pool.end();
  });

  it('of a socket that is gone says that the database is away, and is no refusal', () => {
    const error = Object.assign(new Error('write EPIPE'), { code: 'EPIPE' });
    expect([isUnavailable(error), postgresRefusal(error)]).toEqual([true, null]);
  });

  it.each([null, undefined, 'text', 7, {}, new Error('x'), { code: 7 }, { code: 'short' }, { meta: null }])(
    'that is %p is none of Postgres',
    (error) => {
      expect(postgresRefusal(error)).toBeNull();
      expect([isRetryable(error), isTimeout(error), isUnavailable(error), violates(error, 'x')]).toEqual([
        false,
        false,
        false,
        false,
      ]);
    },
  );
});
