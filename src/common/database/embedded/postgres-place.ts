import { createHash } from 'node:crypto';
import { chmod, chown, mkdir, stat } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { type DirectoryLock, lockDirectory } from './directory-lock.js';
import { errorCode } from './durable-file.js';
import { runCommand, type SystemUser } from './run-command.js';
import { ensureServiceUser } from './service-user.js';
import { StartupError } from './startup-error.js';

/** Where root keeps what the user that Postgres runs as could not enter elsewhere. */
const SYSTEM_DIRECTORY = '/var/lib/fabric';

/** Where the database files are, and as whom Postgres runs. */
export interface PostgresPlace {
  /** Absolute; it may not exist yet, its parent does. */
  directory: string;
  /** As the credentials file names it: relative to the data directory when it lies inside. */
  recordedAs: string;
  /** Null: as the user of this process. */
  user: SystemUser | null;
  /** Directory below which the binaries may be copied. */
  binaryCopies: string;
  /** Held while Postgres is used from here; the data directory's own lock covers only what lies inside it. */
  lock: DirectoryLock | null;
}

/**
 * Decides where the database files of a data directory are. It stays what it once was: a database must not
 * disappear because a mode or a user has changed since.
 * @param dataDir real path
 * @param recorded what the credentials file says, null before the first start
 */
export async function findPostgresPlace(
  dataDir: string,
  recorded: string | null,
  log: (line: string) => void,
): Promise<PostgresPlace> {
  const directory = resolve(dataDir, recorded ?? 'postgres');
  const inside = { directory, recordedAs: recorded ?? 'postgres', lock: null };
  if (process.getuid === undefined) return { ...inside, user: null, binaryCopies: join(dataDir, 'bin') };
  if (process.getuid() !== 0) {
    await refuseForeignFiles(directory, process.getuid());
    return { ...inside, user: null, binaryCopies: join(dataDir, 'bin') };
  }
  const user = (await ownerOf(directory)) ?? (await ownerOf(dataDir)) ?? (await ensureServiceUser(log));
  const binaryCopies = join(SYSTEM_DIRECTORY, 'bin');
  const isInside = directory === join(dataDir, 'postgres');
  if (isInside && (await letIn(user, dataDir))) return { ...inside, user, binaryCopies };
  if (isInside && recorded !== null && (await exists(directory))) {
    throw new StartupError(
      `Postgres runs as the user ${user.name}, who cannot enter ${dataDir}: let that user through, ` +
        'or start the service as the owner of the directory.',
    );
  }
  const home = isInside ? join(SYSTEM_DIRECTORY, hash(dataDir)) : dirname(directory);
  if (recorded === null) {
    log(`Postgres runs as the user ${user.name}, who cannot enter ${dataDir}: its files are in ${home}.`);
  }
  await mkdir(home, { recursive: true });
  // The user may pass through, but not look around.
  await chown(home, 0, user.gid);
  await chmod(home, 0o710);
  const outside = join(home, 'postgres');
  return { directory: outside, recordedAs: outside, user, binaryCopies, lock: await lockDirectory(home) };
}

/** Root's data directory is opened a crack: its group becomes that of the user, who may pass, not list it. */
async function letIn(user: SystemUser, dataDir: string): Promise<boolean> {
  if (!(await canEnter(user, dirname(dataDir)))) return false;
  if (await canEnter(user, dataDir)) return true;
  const { uid, gid, mode } = await stat(dataDir);
  if (uid !== 0 || gid !== 0) return false;
  await chown(dataDir, 0, user.gid);
  await chmod(dataDir, (mode & 0o700) | 0o010);
  return canEnter(user, dataDir);
}

/** Tried, not computed from modes: access lists and mount options have a say too. */
async function canEnter(user: SystemUser, directory: string): Promise<boolean> {
  return (await runCommand('/bin/sh', ['-c', 'cd "$1"', 'sh', directory], user)).ok;
}

async function refuseForeignFiles(directory: string, uid: number): Promise<void> {
  const owner = await ownerId(directory);
  if (owner === null || owner.uid === uid) return;
  throw new StartupError(
    `The database files in ${directory} belong to another user (uid ${owner.uid}): ` +
      'start the service as that user or as root, or name another data directory with FABRIC_DATA_DIR.',
  );
}

/** Null when there is no such directory, or root owns it, as whom Postgres cannot run. */
async function ownerOf(directory: string): Promise<SystemUser | null> {
  const owner = await ownerId(directory);
  return owner === null || owner.uid === 0 ? null : { name: `with uid ${owner.uid}`, ...owner };
}

async function ownerId(directory: string): Promise<{ uid: number; gid: number } | null> {
  try {
    const { uid, gid } = await stat(directory);
    return { uid, gid };
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return null;
    throw error;
  }
}

async function exists(directory: string): Promise<boolean> {
  return (await ownerId(directory)) !== null;
}

function hash(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, 16);
}
