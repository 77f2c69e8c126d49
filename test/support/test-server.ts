import { randomBytes } from 'node:crypto';
import pg from 'pg';
import { startEmbeddedPostgres } from '../../src/common/database/embedded/embedded-postgres.js';
import { createFabricRoles, OWNER_ROLE } from '../../src/common/database/embedded/fabric-roles.js';
import { readPostgresCredentials } from '../../src/common/database/embedded/postgres-credentials.js';
import { migrate } from '../../src/common/database/migrations/migrator.js';
import { createScratchDataDirectory } from './scratch-data-directory.js';
import { alone, databaseUrls, TEST_SERVER_VARIABLE, type TestServer } from './test-database.js';

/** On a server that outlives the run its databases are named `fabric_test_<seconds>_<random>_...`. */
const PREFIX = 'fabric_test_';
/** No run takes this long, so older databases were left by a run that was killed. */
const LEFTOVER_AGE_SECONDS = 2 * 3600;

/** The Postgres that one test run uses. */
export interface RunningTestServer {
  stop(): Promise<void>;
}

/**
 * Prepares the server for a run: a throw-away one, or that of `FABRIC_TEST_DATABASE_URL` (a superuser's URL).
 * Makes the roles and one migrated template database, and tells the workers through the environment.
 */
export async function startTestServer(): Promise<RunningTestServer> {
  const external = process.env.FABRIC_TEST_DATABASE_URL;
  return ready(external ? externalServer(external) : await throwAwayServer());
}

/**
 * A throw-away server for one test file, whose databases are made there from now on: for what looks at the horizon of
 * transactions, which an open transaction in any database of a server holds back, also one of another test.
 */
export async function startOwnTestServer(): Promise<RunningTestServer> {
  return ready(await throwAwayServer(), stopAnalyses);
}

/** An analysis, which may begin at any time, ends with a transaction that holds the horizon back as well. */
async function stopAnalyses({ adminUrl }: TestServer): Promise<void> {
  await withClient(adminUrl, async (client) => {
    await client.query('ALTER SYSTEM SET autovacuum = off');
    await client.query('SELECT pg_reload_conf()');
  });
}

async function ready(
  running: RunningTestServer & { server: TestServer },
  first: (server: TestServer) => Promise<void> = async () => undefined,
): Promise<RunningTestServer> {
  try {
    await first(running.server);
    await prepare(running.server);
  } catch (error) {
    await running.stop();
    throw error;
  }
  process.env[TEST_SERVER_VARIABLE] = JSON.stringify(running.server);
  return running;
}

async function throwAwayServer(): Promise<RunningTestServer & { server: TestServer }> {
  const { path: dataDir, remove: stop } = await createScratchDataDirectory();
  try {
    const { ownerUrl, appUrl } = await startEmbeddedPostgres({
      dataDir,
      durability: 'none',
      log: () => undefined,
    });
    const adminUrl = new URL(ownerUrl);
    adminUrl.username = 'postgres';
    adminUrl.password = (await readPostgresCredentials(dataDir))?.superuser ?? '';
    adminUrl.pathname = '/postgres';
    const passwords = { owner: new URL(ownerUrl).password, app: new URL(appUrl).password };
    return { stop, server: { adminUrl: adminUrl.href, passwords, prefix: newPrefix() } };
  } catch (error) {
    await stop();
    throw error;
  }
}

function externalServer(adminUrl: string): RunningTestServer & { server: TestServer } {
  const server = { adminUrl, passwords: { owner: 'fabric-test', app: 'fabric-test' }, prefix: newPrefix() };
  return {
    server,
    stop: () =>
      withClient(adminUrl, (client) => dropDatabases(client, (name) => name.startsWith(server.prefix))),
  };
}

async function prepare(server: TestServer): Promise<void> {
  const template = `${server.prefix}template`;
  await withClient(server.adminUrl, async (client) => {
    await dropDatabases(client, isLeftover);
    await createFabricRoles(client, server.passwords);
    await client.query(
      `CREATE DATABASE ${template} OWNER ${OWNER_ROLE} TEMPLATE template0 ENCODING 'UTF8' ${await locale(client)}`,
    );
  });
  await migrate(databaseUrls(server, template));
}

/** That of the embedded default, or what comes closest before Postgres 17. */
async function locale(client: pg.Client): Promise<string> {
  const { rows } = await client.query<{ version: number }>(
    `SELECT current_setting('server_version_num')::int AS version`,
  );
  return (rows[0]?.version ?? 0) >= 170_000
    ? `LOCALE_PROVIDER builtin BUILTIN_LOCALE 'C.UTF-8' LC_COLLATE 'C' LC_CTYPE 'C'`
    : `LC_COLLATE 'C' LC_CTYPE 'C.UTF-8'`;
}

function newPrefix(): string {
  return `${PREFIX}${Math.floor(Date.now() / 1000)}_${randomBytes(4).toString('hex')}_`;
}

function isLeftover(name: string): boolean {
  const startedAt = Number(/^fabric_test_(\d+)_/.exec(name)?.[1] ?? Number.NaN);
  return startedAt < Date.now() / 1000 - LEFTOVER_AGE_SECONDS;
}

async function dropDatabases(client: pg.Client, which: (name: string) => boolean): Promise<void> {
  const { rows } = await client.query<{ name: string }>('SELECT d.datname AS name FROM pg_database AS d');
  for (const { name } of rows) {
    if (which(name))
      await alone(client, `DROP DATABASE IF EXISTS ${client.escapeIdentifier(name)} WITH (FORCE)`);
  }
}

async function withClient(url: string, work: (client: pg.Client) => Promise<void>): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    await work(client);
  } finally {
    await client.end();
  }
}
