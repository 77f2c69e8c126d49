import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import pg from 'pg';
import { createTestDatabase, type TestDatabase } from '../../../test/support/test-database.js';
import { loadConfig } from '../config/config.js';
import { Database } from './database.js';
import { postgresRefusal } from './postgres-errors.js';
import { openDirectSession, openModelSession, type Session } from './session.js';
import { raw, type Sql, sql } from './sql.js';

let test: TestDatabase;
let database: Database;
let owner: pg.Client;

beforeAll(async () => {
  test = await createTestDatabase();
  const urls = { appUrl: test.appUrl, directUrl: test.appUrl, ownerUrl: test.ownerUrl };
  database = new Database({
    config: loadConfig({}),
    database: urls,
    masterKey: '',
    bootstrapToken: null,
    version: '',
  });
  owner = new pg.Client({ connectionString: test.ownerUrl });
  await owner.connect();
  await owner.query('CREATE TABLE steps (nth int PRIMARY KEY); GRANT ALL ON steps TO fabric_app');
});

afterEach(() => owner.query('DELETE FROM steps'));

afterAll(async () => {
  await owner.end();
  await database.onApplicationShutdown();
  await test.drop();
});

const add = (nth: number) => sql`INSERT INTO steps AS s (nth) VALUES (${nth}) RETURNING s.nth`;
const countSteps = async () => (await owner.query('SELECT nth FROM steps')).rows.length;
const COUNT = sql`SELECT count(*)::int AS steps FROM steps`;
const all = (session: Session, statements: readonly Sql[]) =>
  Promise.all(statements.map((statement) => session.query<Record<string, number>>(statement)));
const settled = (session: Session, statements: readonly Sql[]) =>
  Promise.allSettled(statements.map((statement) => session.query(statement)));

describe.each<[string, () => Promise<Session>]>([
  ['pg', () => openDirectSession(database)],
  ['pg, prepared', () => openDirectSession(database, 'BEGIN', { prepares: true })],
  ['Prisma', () => openModelSession(database)],
])('statements that are asked for at once by %s', (_, open) => {
  it('run in that order, each seeing what the ones before have done', async () => {
    const session = await open();
    const answers = await all(session, [COUNT, add(1), COUNT, add(2), COUNT]);
    await session.rollback();
    expect(answers).toEqual([[{ steps: 0 }], [{ nth: 1 }], [{ steps: 1 }], [{ nth: 2 }], [{ steps: 2 }]]);
  });

  it('may be sent without waiting, and run in their turn', async () => {
    const session = await open();
    session.send(add(1));
    const seen = await session.query(COUNT);
    session.send(add(2));
    await session.commit();
    expect(seen).toEqual([{ steps: 1 }]);
    expect(await countSteps()).toBe(2);
  });

  it('leave the connection to others once the commit has failed', async () => {
    const failed = await open();
    failed.send(add(1));
    failed.send(add(1));
    await expect(failed.commit()).rejects.toThrow();
    const next = await open();
    await next.query(add(1));
    await failed.rollback();
    await next.commit();
    expect(await countSteps()).toBe(1);
  });

  it('fail what comes after, by their error, when they were sent and fail', async () => {
    const refused = { refusal: expect.objectContaining({ sqlState: '23505' }) };
    const refusalOf = async (work: Promise<unknown>) => {
      const error = await work.then(
        () => null,
        (reason: unknown) => reason,
      );
      return { refusal: postgresRefusal(error) };
    };
    const [queried, committed, settling] = [await open(), await open(), await open()];
    queried.send(add(1));
    queried.send(add(1));
    expect(await refusalOf(queried.query(COUNT))).toEqual(refused);
    await queried.rollback();
    committed.send(add(1));
    committed.send(add(1));
    expect(await refusalOf(committed.commit())).toEqual(refused);
    settling.send(add(1));
    settling.send(add(1));
    expect(await refusalOf(settling.settled())).toEqual(refused);
    await settling.rollback();
    expect(await countSteps()).toBe(0);
  });

  it('fail together by the error of the first one that fails, and leave nothing', async () => {
    const session = await open();
    const answers = await settled(session, [add(1), add(1), add(2)]);
    await session.rollback();
    expect(answers.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'rejected']);
    const [, second, third] = answers.map((answer) =>
      answer.status === 'rejected' ? postgresRefusal(answer.reason)?.sqlState : null,
    );
    expect([second, third]).toEqual(['23505', '23505']);
    expect(await database.query(COUNT)).toEqual([{ steps: 0 }]);
  });
});

describe('a transaction on pg', () => {
  it('is over for who comes late, whoever has its connection now', async () => {
    const early = await openDirectSession(database);
    await early.query(COUNT);
    await early.commit();
    await expect(early.query(add(1))).rejects.toThrow('the transaction is over');
    expect(await database.query(COUNT)).toEqual([{ steps: 0 }]);
  });

  it('is undone where a statement of it has failed that nobody waited for', async () => {
    const session = await openDirectSession(database);
    const failed = session.query(raw('SELECT 1 / 0'));
    failed.catch(() => undefined);
    await expect(session.commit()).rejects.toThrow('was rolled back');
    await expect(failed).rejects.toThrow('division by zero');
  });
});
