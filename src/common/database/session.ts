import type { Socket } from 'node:net';
import type { Pool, PoolClient } from 'pg';
import type { Prisma } from '../../generated/prisma/client.js';
import { withResolvers } from '../promise-with-resolvers.js';
import type { Database } from './database.js';
import { prepared } from './prepared-statements.js';
import { normalizeRows } from './rows.js';
import type { Sql } from './sql.js';

/** The models of Prisma inside a transaction. */
export type Models = Prisma.TransactionClient;

/** An open transaction that its holder ends, by one of the two ways. */
export interface Session {
  /** Statements run in the order in which they are asked for. Those that need nothing of each other's answers may be asked
   *  for at once, and are one way to Postgres and back; after one that fails the others fail as well, by its error. */
  query<T>(statement: Sql): Promise<T[]>;
  /** A statement of which nobody needs the answer: it runs in its turn and is not waited for, so that it goes along with the
   *  next one, be it the commit. Where it fails, that fails by its error. */
  send(statement: Sql): void;
  /** Waits for what was sent. @throws why it failed */
  settled(): Promise<void>;
  /** Whether each statement is planned once for a connection, for any values. */
  readonly prepares: boolean;
  /** null in a session on `pg`. */
  readonly models: Models | null;
  commit(): Promise<void>;
  /** Never throws: a connection that is gone has rolled back by itself. */
  rollback(): Promise<void>;
}

/** Longest that a Prisma transaction may stay open. */
const MODEL_TIMEOUT_MS = 30_000;

class RolledBack extends Error {}

/** Which statement an error comes from. */
const failedStatements = new WeakMap<object, string>();

/** The text of the statement of a transaction that failed by this error; null where that is not known. */
export function statementOf(error: unknown): string | null {
  return typeof error === 'object' && error !== null ? (failedStatements.get(error) ?? null) : null;
}

/**
 * Opens a transaction of Prisma's that is ended from outside. Prisma offers only a callback that commits when it
 * returns; the callback here waits until the holder says how it ends.
 */
export async function openModelSession({
  prisma,
  connectionWaitMs,
}: Pick<Database, 'prisma' | 'connectionWaitMs'>): Promise<Session> {
  const opened = withResolvers<Models>();
  const ended = withResolvers<void>();
  const done = prisma.$transaction(
    async (models) => {
      opened.resolve(models);
      await ended.promise;
    },
    { timeout: MODEL_TIMEOUT_MS, maxWait: connectionWaitMs },
  );
  done.catch(opened.reject);
  const models = await opened.promise;
  const failing = byFirstFailure();
  // Prisma promises no order to statements that are asked for at once.
  let last: Promise<unknown> = Promise.resolve();
  const inOrder = <T>(run: () => Promise<T>): Promise<T> => {
    const next = last.then(run);
    last = next.catch(() => undefined);
    return next;
  };
  const query = async <T>({ text, values }: Sql) =>
    normalizeRows<T>(await failing(text, () => inOrder(() => models.$queryRawUnsafe(text, ...values))));
  const sent = new SentStatements();
  const rollback = async () => {
    ended.reject(new RolledBack());
    await done.catch(() => undefined);
  };
  return {
    prepares: false,
    models,
    query,
    send: (statement) => sent.add(query(statement)),
    settled: () => sent.settled(),
    commit: async () => {
      try {
        // Of a transaction that has failed Prisma hears no error when it commits.
        await sent.settled();
      } catch (error) {
        await rollback();
        throw error;
      }
      ended.resolve();
      return done;
    },
    rollback,
  };
}

/** Opens a transaction on `pg`; `begin` is the statement that starts it. @param prepares plan each statement once for each
 *  connection, where that is possible: for hot paths */
export function openDirectSession(
  database: Database,
  begin = 'BEGIN',
  { prepares = false }: { prepares?: boolean | undefined } = {},
): Promise<Session> {
  return openSession(database.pool, begin, prepares && database.keepsSessions);
}

/** Opens a transaction for who needs a second connection while the first one is held; unless told otherwise, a look
 *  at what is committed, all of it at one instant. */
export function openSessionBeside(
  database: Database,
  begin = 'BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY',
): Promise<Session> {
  return openSession(database.besidePool, begin, false);
}

async function openSession(pool: Pool, begin: string, prepares: boolean): Promise<Session> {
  const client: PoolClient = await pool.connect();
  gather(client);
  // Sent together with the first statement, whose answer waits for this one's.
  const begun = client.query(begin);
  begun.catch(() => undefined);
  const failing = byFirstFailure();
  let isOver = false;
  const end = async (statement: 'COMMIT' | 'ROLLBACK') => {
    isOver = true;
    gather(client);
    try {
      const result = await client.query(statement);
      await begun;
      client.release();
      return result.command;
    } catch (error) {
      client.release(true);
      throw error;
    }
  };
  const query = async <T>(statement: Sql) => {
    // The connection may be another's by now: a statement that comes late must not run in that one's transaction.
    if (isOver) throw new Error('the transaction is over');
    const { text, values } = statement;
    gather(client);
    return failing(text, async () => {
      const { rows } = await client.query(prepares ? prepared(statement) : { text, values });
      await begun;
      return rows as T[];
    });
  };
  const sent = new SentStatements();
  return {
    prepares,
    models: null,
    query,
    send: (statement) => sent.add(query(statement)),
    settled: () => sent.settled(),
    commit: async () => {
      // Postgres answers COMMIT of a failed transaction with ROLLBACK and no error.
      if ((await end('COMMIT')) === 'COMMIT') return;
      await sent.settled();
      throw new Error('the transaction had failed and was rolled back');
    },
    rollback: async () => {
      // A commit that has failed has ended it, and the connection may be another's.
      if (!isOver) await end('ROLLBACK').catch(() => undefined);
    },
  };
}

/** What is asked for in the same turn of this thread leaves as one piece: each piece is a call of the system that wakes
 *  Postgres, and costs this thread more than all the rest of sending a statement. */
function gather(client: PoolClient): void {
  const { stream } = (client as PoolClient & { connection: { stream: Socket } }).connection;
  // Whoever comes later in this turn finds it corked.
  if (stream.writableCorked > 0) return;
  stream.cork();
  process.nextTick(() => stream.uncork());
}

/** Statements that nobody waits for. */
class SentStatements {
  private readonly answers: Promise<unknown>[] = [];

  add(answer: Promise<unknown>): void {
    // It is heard of by the commit.
    answer.catch(() => undefined);
    this.answers.push(answer);
  }

  async settled(): Promise<void> {
    await Promise.all(this.answers);
  }
}

/** Whatever fails in a transaction after something has failed does so by that: who asked for several at once may hear of
 *  the later one first, and what is to be done depends on the cause. */
function byFirstFailure(): <T>(text: string, run: () => Promise<T>) => Promise<T> {
  let failure: { cause: unknown } | null = null;
  return async (text, run) => {
    try {
      return await run();
    } catch (error) {
      failure ??= { cause: error };
      if (failure.cause === error && typeof error === 'object' && error !== null)
        failedStatements.set(error, text);
      throw failure.cause;
    }
  };
}
