import { randomBytes } from 'node:crypto';
import { chown, link, open, readFile, rename, rm, stat } from 'node:fs/promises';
import { dirname } from 'node:path';

/**
 * Replaces `path` as a whole: after a crash there is either the old content or the new one, never a part.
 * Mode 0600. Run as root it gives the file to the owner of the directory, so that a single start with
 * `sudo` does not lock the usual user out.
 */
export async function writeFileDurably(path: string, content: string): Promise<void> {
  const temporary = await writeTemporary(path, content);
  await rename(temporary, path);
  await syncDirectory(dirname(path));
}

/**
 * Creates `path` with `content`, mode 0600, complete from the first instant at which it can be seen.
 * @returns false, with nothing changed, when it exists already; of several callers exactly one gets true
 */
export async function createFileDurably(path: string, content: string): Promise<boolean> {
  const temporary = await writeTemporary(path, content);
  try {
    // Unlike rename, link refuses to replace.
    await link(temporary, path);
  } catch (error) {
    if (errorCode(error) === 'EEXIST') return false;
    throw error;
  } finally {
    await rm(temporary, { force: true });
  }
  await syncDirectory(dirname(path));
  return true;
}

/** The text of a file, null when there is none. */
export async function readFileIfExists(path: string): Promise<string | null> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return null;
    throw error;
  }
}

/** Makes the names in a directory durable. Does nothing on Windows, which cannot open directories. */
export async function syncDirectory(path: string): Promise<void> {
  if (process.platform === 'win32') return;
  const handle = await open(path, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** The `code` of a system error (`ENOENT`), undefined for anything else. */
export function errorCode(error: unknown): string | undefined {
  // Not by instanceof: under Jest the errors of the system come from another realm.
  const code = typeof error === 'object' && error !== null && 'code' in error ? error.code : undefined;
  return typeof code === 'string' ? code : undefined;
}

async function writeTemporary(path: string, content: string): Promise<string> {
  const temporary = `${path}.${randomBytes(6).toString('hex')}.tmp`;
  const handle = await open(temporary, 'wx', 0o600);
  try {
    await handle.writeFile(content);
    await handle.sync();
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  } finally {
    await handle.close();
  }
  if (process.getuid?.() === 0) {
    const { uid, gid } = await stat(dirname(path));
    await chown(temporary, uid, gid);
  }
  return temporary;
}
