import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { APP_ROLE, OWNER_ROLE } from '../../src/common/database/embedded/fabric-roles.js';

/** How the workers learn of the run's server. */
export const TEST_SERVER_VARIABLE = 'FABRIC_TEST_SERVER';

/** The server of a test run, as it travels from the global setup to the workers. */
export interface TestServer {
  /** As a superuser. */
  adminUrl: string;
  passwords: { owner: string; app: string };
  /** All databases of the run begin with it; the migrated template is `<prefix>template`. */
  prefix: string;
}

/** A database of a test's own: migrated, otherwise empty. */
export interface TestDatabase {
  /** As the role that the service runs as. */
  appUrl: string;
  /** As the role that owns the tables. */
  ownerUrl: string;
  /** Drops it, ending the sessions that are still open. */
  drop(): Promise<void>;
}

/**
 * SQLSTATE object_in_use: somebody is connected to the template, autovacuum for example, or a session that was ended has
 * not gone within the five seconds for which Postgres waits.
 */
const OBJECT_IN_USE = '55006';
const MAX_ATTEMPTS = 50;

/** Clones the run's migrated template. Any number at once, from any worker. */
export async function createTestDatabase(): Promise<TestDatabase> {
  const server = testServer();
  const name = `${server.prefix}${process.env.JEST_WORKER_ID ?? '0'}_${randomBytes(6).toString('hex')}`;
  // Without fsync, copying files is cheaper than logging every page (25 ms to 65 ms with 37 tables).
  const copied = `TEMPLATE ${server.prefix}template STRATEGY FILE_COPY`;
  await asAdmin(server, (client) => alone(client, `CREATE DATABASE ${name} ${copied} OWNER ${OWNER_ROLE}`));
  return {
    ...databaseUrls(server, name),
    drop: () => asAdmin(server, (client) => alone(client, `DROP DATABASE IF EXISTS ${name} WITH (FORCE)`)),
  };
}

/** The URLs of one of the run's databases. */
export function databaseUrls(server: TestServer, name: string): { appUrl: string; ownerUrl: string } {
  const url = (role: string, password: string): string => {
    const target = new URL(server.adminUrl);
    target.username = role;
    target.password = password;
    target.pathname = `/${name}`;
    return target.href;
  };
  return { appUrl: url(APP_ROLE, server.passwords.app), ownerUrl: url(OWNER_ROLE, server.passwords.owner) };
}

/** Repeats a statement while somebody else is in its way. */
export async function alone(client: pg.Client, statement: string): Promise<void> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      await client.query(statement);
      return;
    } catch (error) {
      const busy = error instanceof pg.DatabaseError && error.code === OBJECT_IN_USE;
      if (!busy || attempt === MAX_ATTEMPTS) throw error;
      await sleep(100);
    }
  }
}

async function asAdmin(server: TestServer, work: (client: pg.Client) => Promise<unknown>): Promise<void> {
  const client = new pg.Client({ connectionString: server.adminUrl });
  await client.connect();
  try {
    await work(client);
  } finally {
    await client.end();
  }
}

function testServer(): TestServer {
  const text = process.env[TEST_SERVER_VARIABLE];
  if (text === undefined)
    throw new Error('No test server: run the tests with Jest, whose global setup starts it.');
  return JSON.parse(text) as TestServer;
}
