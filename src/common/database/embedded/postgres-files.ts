import { randomBytes } from 'node:crypto';
import { chown, mkdir, readdir, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { readFileIfExists, syncDirectory, writeFileDurably } from './durable-file.js';
import type { PostgresBinaries } from './postgres-binaries.js';
import type { Durability } from './postgres-settings.js';
import { runCommand, type SystemUser } from './run-command.js';
import { StartupError } from './startup-error.js';

const UNFINISHED = 'postgres.init-';

/** Whether there are database files in `directory`. */
export async function hasDatabaseFiles(directory: string): Promise<boolean> {
  return (await readFileIfExists(join(directory, 'PG_VERSION'))) !== null;
}

/** @throws StartupError when these binaries cannot read the files in `directory` */
export async function checkDatabaseVersion(directory: string, binaries: PostgresBinaries): Promise<void> {
  const made = (await readFileIfExists(join(directory, 'PG_VERSION')))?.trim();
  if (made === binaries.major) return;
  throw new StartupError(
    `The database in ${directory} was made by Postgres ${made} and this release brings Postgres ` +
      `${binaries.major}: dump it with the release that made it and restore it into a new data directory.`,
  );
}

/**
 * Makes the database files, with the superuser `postgres`. Whatever happens meanwhile, `directory` is either
 * absent or complete. The locale is built into Postgres, so the machine needs none.
 */
export async function createDatabaseFiles(options: {
  directory: string;
  binaries: PostgresBinaries;
  user: SystemUser | null;
  superuserPassword: string;
  durability: Durability;
}): Promise<void> {
  const { directory, binaries, user } = options;
  const home = dirname(directory);
  await removeUnfinished(home);
  const unfinished = join(home, `${UNFINISHED}${randomBytes(6).toString('hex')}`);
  const passwordFile = `${unfinished}.password`;
  try {
    await mkdir(unfinished, { mode: 0o700 });
    await writeFileDurably(passwordFile, `${options.superuserPassword}\n`);
    if (user !== null) {
      for (const path of [unfinished, passwordFile]) await chown(path, user.uid, user.gid);
    }
    const made = await runCommand(
      binaries.initdb,
      [
        `--pgdata=${unfinished}`,
        '--username=postgres',
        `--pwfile=${passwordFile}`,
        '--auth=scram-sha-256',
        '--encoding=UTF8',
        '--locale-provider=builtin',
        '--builtin-locale=C.UTF-8',
        '--no-instructions',
        ...(options.durability === 'none' ? ['--no-sync'] : []),
      ],
      user,
    );
    if (!made.ok) {
      throw new StartupError(`The database files could not be made in ${home}: ${lastLine(made.output)}`);
    }
    await rename(unfinished, directory);
    await syncDirectory(home);
  } finally {
    await rm(passwordFile, { force: true });
    await rm(unfinished, { recursive: true, force: true });
  }
}

/** What a killed start left behind. Its initdb may still be writing: then the next start gets the rest. */
async function removeUnfinished(home: string): Promise<void> {
  for (const name of await readdir(home)) {
    if (name.startsWith(UNFINISHED)) {
      await rm(join(home, name), { recursive: true, force: true }).catch(() => undefined);
    }
  }
}

/** The line of a program's output that says what was wrong, without what comes before the message. */
export function lastLine(output: string): string {
  const lines = output.split('\n').filter((line) => line.trim() !== '');
  const severity = /^.*?\b(?:FATAL|PANIC|error):\s*/;
  const line = lines.findLast((candidate) => severity.test(candidate)) ?? lines.at(-1);
  return line?.replace(severity, '') ?? 'no reason given';
}
