import { join } from 'node:path';
import { randomSecret } from './data-directory.js';
import { readFileIfExists, writeFileDurably } from './durable-file.js';
import { StartupError } from './startup-error.js';

/** What the data directory remembers of its Postgres; mode 0600. */
export interface PostgresCredentials {
  /** Where the database files are: absolute, or relative to the data directory, which may then be moved. */
  directory: string;
  /** The port on the loopback interface; another one once a stranger has taken it. */
  port: number;
  /** Password of the superuser `postgres`, used for setting up only. */
  superuser: string;
  /** Password of `fabric_owner`. */
  owner: string;
  /** Password of `fabric_app`. */
  app: string;
  /** Whether the first start got as far as the roles and the database; from then on both must exist. */
  initialized: boolean;
}

/** New passwords for a database that will be made in `directory`. */
export function newPostgresCredentials(directory: string, port: number): PostgresCredentials {
  const [superuser, owner, app] = [randomSecret(), randomSecret(), randomSecret()];
  return { directory, port, superuser, owner, app, initialized: false };
}

/** Where they are kept. */
export function postgresCredentialsFile(dataDir: string): string {
  return join(dataDir, 'postgres-credentials.json');
}

/**
 * Reads them; null when this data directory has none yet.
 * @throws StartupError when the file is not what this service wrote
 */
export async function readPostgresCredentials(dataDir: string): Promise<PostgresCredentials | null> {
  const file = postgresCredentialsFile(dataDir);
  const text = await readFileIfExists(file);
  if (text === null) return null;
  const value = parse(text);
  if (!isCredentials(value)) {
    throw new StartupError(`The file ${file} is damaged: restore it, or move ${dataDir} away to start anew.`);
  }
  return value;
}

/** Keeps them, in place of earlier ones. */
export function writePostgresCredentials(dataDir: string, credentials: PostgresCredentials): Promise<void> {
  return writeFileDurably(postgresCredentialsFile(dataDir), `${JSON.stringify(credentials, null, 2)}\n`);
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

function isCredentials(value: unknown): value is PostgresCredentials {
  if (typeof value !== 'object' || value === null) return false;
  const members = value as Record<string, unknown>;
  const strings = [members.directory, members.superuser, members.owner, members.app];
  return (
    strings.every((member) => typeof member === 'string' && member !== '') &&
    Number.isInteger(members.port) &&
    typeof members.initialized === 'boolean'
  );
}
