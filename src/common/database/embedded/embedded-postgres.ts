import { realpath, rename } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { errorCode } from './durable-file.js';
import { APP_ROLE, createFabricRoles, OWNER_ROLE } from './fabric-roles.js';
import { findFreePort, isPortFree } from './free-port.js';
import { preparePostgresBinaries } from './postgres-binaries.js';
import {
  newPostgresCredentials,
  type PostgresCredentials,
  postgresCredentialsFile,
  readPostgresCredentials,
  writePostgresCredentials,
} from './postgres-credentials.js';
import { checkDatabaseVersion, createDatabaseFiles, hasDatabaseFiles, lastLine } from './postgres-files.js';
import { findPostgresPlace, type PostgresPlace } from './postgres-place.js';
import { type Durability, writePostgresSettings } from './postgres-settings.js';
import {
  findPostmaster,
  type PostmasterOptions,
  removeMisleadingPidFile,
  startPostmaster,
  stopPostmaster,
} from './postmaster.js';
import { StartupError } from './startup-error.js';

const DATABASE = 'fabric';
/** How long a server that is still starting or stopping is waited for. */
const SETTLE_MS = 300_000;
const SETTLE_STEP_MS = 100;
/** How long sessions of a killed server may hold its shared memory before that counts as a failure. */
const SURVIVORS_MS = 30_000;

/** A Postgres server of our own, running. */
export interface EmbeddedPostgres {
  /** As the role that the service runs as. */
  appUrl: string;
  /** As the role that owns the database and migrates it; it may create schemas, and is no superuser. */
  ownerUrl: string;
  /** Where its files are. */
  directory: string;
  /** It was running already: the process that started it did not stop it. */
  adopted: boolean;
  /** Ends all sessions and stops the server; to be called last in a shutdown. Repeatable. */
  stop(): Promise<void>;
}

/**
 * Starts the Postgres that belongs to a data directory, or adopts it when it runs; makes it the first time.
 * The caller holds the data directory (`openDataDirectory`).
 * @param dataDir exists
 * @param log takes lines for people
 * @param durability `none` for throw-away databases
 * @throws StartupError when it cannot run on this machine, or its files are not as they should be
 */
export async function startEmbeddedPostgres(options: {
  dataDir: string;
  log: (line: string) => void;
  durability?: Durability;
}): Promise<EmbeddedPostgres> {
  const { log, durability = 'full' } = options;
  // Processes are recognised by the path that they were started with.
  const dataDir = await realpath(options.dataDir);
  const kept = await readPostgresCredentials(dataDir);
  const place = await findPostgresPlace(dataDir, kept?.directory ?? null, log).catch((error: unknown) => {
    throw asStartupError(error, dataDir);
  });
  let abandon: () => Promise<unknown> = async () => undefined;
  try {
    const binaries = await preparePostgresBinaries({ user: place.user, copyTo: place.binaryCopies, log });
    const server: PostmasterOptions = { directory: place.directory, user: place.user, binaries };
    let credentials = kept ?? (await makeCredentials(dataDir, place, server, log));
    if (await hasDatabaseFiles(place.directory)) await checkDatabaseVersion(place.directory, binaries);
    else await createFiles(dataDir, server, credentials, durability, log);

    const adoptedPort = await adopt(server, credentials);
    if (adoptedPort === null) abandon = () => stopPostmaster(server);
    const port = adoptedPort ?? (await start(server, credentials.port, durability));
    if (port !== credentials.port) {
      if (credentials.initialized) log(`Port ${credentials.port} is taken: Postgres has moved to ${port}.`);
      credentials = { ...credentials, port };
      await writePostgresCredentials(dataDir, credentials);
    }
    if (!credentials.initialized) {
      await createRolesAndDatabase(credentials);
      credentials = { ...credentials, initialized: true };
      await writePostgresCredentials(dataDir, credentials);
    }
    let stopped: Promise<void> | undefined;
    const stopOnce = async (): Promise<void> => {
      stopped ??= stop(server, place);
      await stopped;
    };
    return {
      appUrl: url(APP_ROLE, credentials.app, port),
      ownerUrl: url(OWNER_ROLE, credentials.owner, port),
      directory: place.directory,
      adopted: adoptedPort !== null,
      stop: stopOnce,
    };
  } catch (error) {
    await abandon();
    await place.lock?.release();
    throw asStartupError(error, dataDir);
  }
}

/** What the system refuses (rights, a full disk) is for the operator to mend, in one line. */
function asStartupError(error: unknown, dataDir: string): unknown {
  const code = errorCode(error);
  if (code === undefined || error instanceof StartupError || error instanceof pg.DatabaseError) return error;
  const message = typeof error === 'object' && error !== null && 'message' in error ? error.message : code;
  return new StartupError(
    `The embedded Postgres of ${dataDir} cannot be set up (${message}): mend that, or set DATABASE_URL.`,
    { cause: error },
  );
}

async function stop(server: PostmasterOptions, place: PostgresPlace): Promise<void> {
  const result = await stopPostmaster(server);
  await place.lock?.release();
  if (!result.ok) throw new Error(`Postgres did not stop: ${lastLine(result.output)}`);
}

async function makeCredentials(
  dataDir: string,
  place: PostgresPlace,
  server: PostmasterOptions,
  log: (line: string) => void,
): Promise<PostgresCredentials> {
  if (await hasDatabaseFiles(place.directory)) {
    if (place.lock === null) {
      throw new StartupError(
        `There is a database in ${place.directory}, but its passwords in ${postgresCredentialsFile(dataDir)} ` +
          'are missing: restore that file, or move the database away to start anew.',
      );
    }
    // The data directory was removed to start anew, and could not take with it what lies outside.
    const aside = `${place.directory}.before-${new Date().toISOString().replaceAll(/[:.]/g, '-')}`;
    await stopPostmaster(server);
    await rename(place.directory, aside);
    log(`The data directory is new; the database that an earlier one had left was moved to ${aside}.`);
  }
  const credentials = newPostgresCredentials(place.recordedAs, await findFreePort());
  await writePostgresCredentials(dataDir, credentials);
  return credentials;
}

async function createFiles(
  dataDir: string,
  server: PostmasterOptions,
  credentials: PostgresCredentials,
  durability: Durability,
  log: (line: string) => void,
): Promise<void> {
  if (credentials.initialized) {
    throw new StartupError(
      `The database of ${dataDir} is missing from ${server.directory}: restore it, ` +
        `or remove ${postgresCredentialsFile(dataDir)} to start with an empty one.`,
    );
  }
  log(`Making the database in ${server.directory}.`);
  await createDatabaseFiles({ ...server, superuserPassword: credentials.superuser, durability });
}

/** The port of the server that runs already, once it answers; null when none runs. */
async function adopt(server: PostmasterOptions, credentials: PostgresCredentials): Promise<number | null> {
  for (let waited = 0; waited < SETTLE_MS; waited += SETTLE_STEP_MS) {
    const running = await findPostmaster(server.directory);
    if (running === null) return null;
    if (await answers(running.port, server.directory, credentials)) {
      if (!running.outdated) return running.port;
      await stopPostmaster(server);
      return null;
    }
    await sleep(SETTLE_STEP_MS);
  }
  throw new StartupError(`The Postgres that runs on ${server.directory} does not answer: stop it.`);
}

/** @returns the port */
async function start(server: PostmasterOptions, usual: number, durability: Durability): Promise<number> {
  await removeMisleadingPidFile(server.directory);
  const deadline = performance.now() + SURVIVORS_MS;
  for (let port = usual; ; ) {
    if (!(await isPortFree(port))) port = await findFreePort();
    await writePostgresSettings(server.directory, { port, durability });
    const result = await startPostmaster(server);
    if (result.ok) return port;
    // Either cause goes away by itself: the port was taken since we looked, or survivors are still ending.
    const mayPass = !(await isPortFree(port)) || result.output.includes('pre-existing shared memory block');
    if (!mayPass || performance.now() > deadline) {
      throw new StartupError(
        `Postgres did not start on ${server.directory} (its log is there): ${lastLine(result.output)}`,
      );
    }
    await sleep(SETTLE_STEP_MS);
  }
}

async function answers(port: number, directory: string, credentials: PostgresCredentials): Promise<boolean> {
  const client = superuserClient({ ...credentials, port });
  try {
    await client.connect();
    const { rows } = await client.query<{ at: string }>(`SELECT current_setting('data_directory') AS at`);
    return rows[0]?.at === directory;
  } catch (error) {
    // 28P01 invalid_password: no waiting will mend that.
    if (error instanceof pg.DatabaseError && error.code === '28P01') {
      throw new StartupError(`The Postgres on ${directory} refuses the password in the data directory.`, {
        cause: error,
      });
    }
    return false;
  } finally {
    await client.end().catch(() => undefined);
  }
}

async function createRolesAndDatabase(credentials: PostgresCredentials): Promise<void> {
  const client = superuserClient(credentials);
  try {
    await client.connect();
    await createFabricRoles(client, credentials);
    const found = await client.query('SELECT FROM pg_database AS d WHERE d.datname = $1', [DATABASE]);
    if (found.rowCount === 0) await client.query(`CREATE DATABASE ${DATABASE} OWNER ${OWNER_ROLE}`);
  } finally {
    await client.end().catch(() => undefined);
  }
}

function superuserClient({ port, superuser }: PostgresCredentials): pg.Client {
  const client = new pg.Client({
    host: '127.0.0.1',
    port,
    user: 'postgres',
    password: superuser,
    database: 'postgres',
    connectionTimeoutMillis: 5_000,
  });
  // A connection that breaks while idle must not end the process; the next query reports it.
  client.on('error', () => undefined);
  return client;
}

function url(role: string, password: string, port: number): string {
  return `postgresql://${role}:${password}@127.0.0.1:${port}/${DATABASE}`;
}
