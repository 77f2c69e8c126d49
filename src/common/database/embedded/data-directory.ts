import { randomBytes } from 'node:crypto';
import { mkdir, stat } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { lockDirectory } from './directory-lock.js';
import { createFileDurably, errorCode, readFileIfExists } from './durable-file.js';
import { StartupError } from './startup-error.js';

/** The directory that holds what one installation must not lose. */
export interface DataDirectory {
  /** Absolute. */
  readonly path: string;
  /** Where the platform owner's token is, for people to be told; the file need not exist yet. */
  readonly ownerTokenFile: string;
  /** The platform owner's token: `fabo_` and 43 characters of base64url (256 bits), made when there is none. */
  ownerToken(): Promise<string>;
  /** The master key: base64url of 32 bytes, made when there is none. */
  masterKey(): Promise<string>;
  /** Lets another process have the directory. */
  release(): Promise<void>;
}

/**
 * Opens the data directory; makes it, readable by its owner only, when it is missing.
 * @param path relative to the working directory, or absolute
 * @param options.exclusive take it for this process alone, as whoever runs a database in it must
 * @throws StartupError when it cannot be written, or another copy of the service has taken it
 */
export async function openDataDirectory(
  path: string,
  { exclusive = true }: { exclusive?: boolean } = {},
): Promise<DataDirectory> {
  const directory = resolve(path);
  const lock = await withHint(directory, async () => {
    await makeDirectory(directory);
    return exclusive ? lockDirectory(directory) : null;
  });
  const ownerTokenFile = join(directory, 'owner-token');
  return {
    path: directory,
    ownerTokenFile,
    ownerToken: () =>
      withHint(directory, () => readOrCreateSecret(ownerTokenFile, () => `fabo_${randomSecret()}`)),
    masterKey: () =>
      withHint(directory, () => readOrCreateSecret(join(directory, 'master-key'), randomSecret)),
    release: async () => lock?.release(),
  };
}

/**
 * Makes a directory with all above it, readable by its owner only. Not with Node's `recursive`: where a file system
 * says of a new name that there is no such file, as `/proc` does, that asks again for ever.
 */
async function makeDirectory(path: string): Promise<void> {
  if (await isDirectory(path)) return;
  const above = dirname(path);
  if (above !== path) await makeDirectory(above);
  try {
    await mkdir(path, { mode: 0o700 });
  } catch (error) {
    // Another starter may have been faster.
    if (errorCode(error) !== 'EEXIST' || !(await isDirectory(path))) throw error;
  }
}

async function isDirectory(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isDirectory();
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return false;
    throw error;
  }
}

/** 256 random bits as 43 characters of base64url. */
export function randomSecret(): string {
  return randomBytes(32).toString('base64url');
}

async function readOrCreateSecret(path: string, make: () => string): Promise<string> {
  const kept = await readFileIfExists(path);
  if (kept === null) {
    const made = make();
    if (await createFileDurably(path, `${made}\n`)) return made;
  }
  const secret = (kept ?? (await readFileIfExists(path)) ?? '').trim();
  // Making a new one instead would hide that the old one is lost.
  if (secret === '') throw new StartupError(`The file ${path} is empty: restore its content, or remove it.`);
  return secret;
}

async function withHint<T>(directory: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    const code = errorCode(error);
    if (code === undefined || error instanceof StartupError) throw error;
    throw new StartupError(
      `The data directory ${directory} cannot be used (${code}): make it writable for this user, ` +
        'or name another one with FABRIC_DATA_DIR.',
      { cause: error },
    );
  }
}
