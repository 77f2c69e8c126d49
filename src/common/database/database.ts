import { Inject, Injectable, type OnApplicationShutdown } from '@nestjs/common';
import { PrismaPg } from '@prisma/adapter-pg';
import pg from 'pg';
import { PrismaClient } from '../../generated/prisma/client.js';
import { RUNTIME, type Runtime } from '../config/runtime.js';
import { prepared } from './prepared-statements.js';
import { safeInteger } from './rows.js';
import type { Sql } from './sql.js';
import { surviveBreak } from './survive-break.js';

/** The request pool serves the API and what workers write; 20 connections saturate a small Postgres. */
const POOL_SIZE = 20;
/** Looks from within a transaction are short, and few at a time. */
const BESIDE_POOL_SIZE = 4;
const CONNECTION_WAIT_MS = 5_000;
const INT8 = 20;
const INT8_ARRAY = 1016;

/** One pool of connections under `pg` and Prisma alike. */
@Injectable()
export class Database implements OnApplicationShutdown {
  readonly pool: pg.Pool;
  /**
   * For who needs two connections at once: to look at what is committed from within a transaction, or to keep a key
   * while a call runs. Who holds a connection of `pool` and waits for another of the same pool may wait for ever, as
   * soon as all holders do.
   */
  readonly besidePool: pg.Pool;
  readonly prisma: PrismaClient;
  /** A connection of the pool is always the same session of Postgres: nothing that pools transactions is in between. */
  readonly keepsSessions: boolean;
  /** Longest wait for a connection, in milliseconds. */
  readonly connectionWaitMs: number;

  constructor(@Inject(RUNTIME) runtime: Runtime) {
    this.connectionWaitMs = runtime.connectionWaitMs ?? CONNECTION_WAIT_MS;
    this.pool = newPool(runtime.database.appUrl, POOL_SIZE, this.connectionWaitMs);
    this.besidePool = newPool(runtime.database.appUrl, BESIDE_POOL_SIZE, this.connectionWaitMs);
    this.keepsSessions = runtime.database.appUrl === runtime.database.directUrl;
    this.prisma = new PrismaClient({ adapter: new PrismaPg(this.pool), errorFormat: 'minimal' });
  }

  /** Runs one statement of its own, outside any transaction of ours. */
  async query<T>(statement: Sql): Promise<T[]> {
    const { rows } = await this.pool.query({ text: statement.text, values: statement.values });
    return rows as T[];
  }

  /** The same for a statement of a hot path, planned once for each connection. */
  async queryPrepared<T>(statement: Sql): Promise<T[]> {
    if (!this.keepsSessions) return this.query(statement);
    const { rows } = await this.pool.query(prepared(statement));
    return rows as T[];
  }

  async onApplicationShutdown(): Promise<void> {
    await this.prisma.$disconnect();
    await Promise.all([this.pool.end(), this.besidePool.end()]);
  }
}

function newPool(connectionString: string, max: number, waitMs: number): pg.Pool {
  const pool = new pg.Pool({
    connectionString,
    max,
    connectionTimeoutMillis: waitMs,
    application_name: 'fabric',
    // Statements of a transaction that are asked for at once are sent at once (`Session.query`).
    pipeline: true,
    types: { getTypeParser },
  });
  // A connection that breaks while idle is replaced at the next use; unhandled it would end the process.
  pool.on('error', () => undefined);
  pool.on('connect', surviveBreak);
  return pool;
}

const getTypeParser = ((oid: number, format?: 'text' | 'binary') => {
  if (oid === INT8) return safeInteger;
  const parse = pg.types.getTypeParser(oid, format as 'text') as (text: string) => unknown;
  if (oid !== INT8_ARRAY) return parse;
  return (text: string) => (parse(text) as string[]).map(safeInteger);
}) as typeof pg.types.getTypeParser;
