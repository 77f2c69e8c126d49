import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The directory of the clone. */
export const ROOT = dirname(dirname(dirname(fileURLToPath(import.meta.url))));

/** A path in the clone. */
export function inRoot(...parts) {
  return join(ROOT, ...parts);
}

/** The text of a file, null when it cannot be read. */
export function readText(path) {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return null;
  }
}

/**
 * A hash over the names and contents of files and whole folders of the clone. Contents and not times, because
 * git gives every file that it writes the time of writing.
 * @param {string[]} paths what is missing counts as empty
 * @param {(path: string) => boolean} [counts] false for files and folders that do not matter
 */
export function hashOf(paths, counts = () => true) {
  const hash = createHash('sha256');
  const add = (path) => {
    const stats = statSync(inRoot(path), { throwIfNoEntry: false });
    if (stats === undefined || !counts(path)) return;
    if (stats.isDirectory()) {
      for (const name of readdirSync(inRoot(path)).sort()) add(`${path}/${name}`);
    } else {
      const content = readFileSync(inRoot(path));
      hash.update(`${path}\0${content.length}\0`).update(content);
    }
  };
  for (const path of paths) add(path);
  return hash.digest('hex');
}
