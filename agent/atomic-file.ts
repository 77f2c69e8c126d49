import { randomUUID } from 'node:crypto';
import { link, open, readdir, readFile, rename, rm, symlink } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';

/** Temporary files end in this; whatever a crash leaves behind is never read and is swept at the next start. */
export const TEMPORARY_SUFFIX = '.tmp';

/**
 * Writes a file so that after a crash at any moment either the old or the new content is there, whole:
 * temporary file (mode 0600), fsync, rename, fsync of the folder.
 */
export async function writeFileAtomic(path: string, content: string | Uint8Array): Promise<void> {
  await withDraft(path, content, (draft) => rename(draft, path));
  await syncFolder(dirname(path));
}

/** The same for a file that must not be there yet; false, and nothing changed, when it is. */
export async function createFileAtomic(path: string, content: string): Promise<boolean> {
  try {
    await withDraft(path, content, (draft) => link(draft, path));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  }
  await syncFolder(dirname(path));
  return true;
}

/** Makes `path` a link to the folder `target`, in one step where there was one before; durable when it resolves. */
export async function linkAtomic(path: string, target: string): Promise<void> {
  const draft = join(dirname(path), `.${basename(path)}.${randomUUID()}${TEMPORARY_SUFFIX}`);
  await symlink(target, draft, 'dir');
  await rename(draft, path);
  await syncFolder(dirname(path));
}

/** Puts a whole and durable draft in place by `publish`; nothing of it stays. */
async function withDraft(
  path: string,
  content: string | Uint8Array,
  publish: (draft: string) => Promise<void>,
): Promise<void> {
  const draft = join(dirname(path), `.${basename(path)}.${randomUUID()}${TEMPORARY_SUFFIX}`);
  try {
    const file = await open(draft, 'wx', 0o600);
    try {
      await file.writeFile(content);
      await file.sync();
    } finally {
      await file.close();
    }
    await publish(draft);
  } finally {
    await rm(draft, { force: true }); // gone already where it was renamed
  }
}

/** The file's text, or null when there is no such file. */
export async function readFileIfPresent(path: string): Promise<string | null> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
}

/** Makes what was created, renamed or removed in a folder durable. */
export async function syncFolder(path: string): Promise<void> {
  if (process.platform === 'win32') return; // a folder cannot be opened there
  const folder = await open(path, 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

/** Makes every file and folder below `path` durable. */
export async function syncTree(path: string): Promise<void> {
  for (const entry of await readdir(path, { withFileTypes: true })) {
    const below = join(path, entry.name);
    if (entry.isDirectory()) await syncTree(below);
    else {
      const file = await open(below, 'r');
      await file.sync().finally(() => file.close());
    }
  }
  await syncFolder(path);
}
