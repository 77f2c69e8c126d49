import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';

/** One migration as it lies in the repository. */
export interface MigrationFile {
  name: string;
  sql: string;
  /** SHA-256 of the file in hex, as Prisma computes it. */
  checksum: string;
}

/** One row of `_prisma_migrations` that counts as applied. */
export interface AppliedMigration {
  name: string;
  checksum: string;
}

/** The database and the program do not fit together; the message says how. */
export class MigrationError extends Error {
  override readonly name = 'MigrationError';
}

/** Reads `<folder>/<name>/migration.sql`, in the order of the names. */
export async function readMigrations(folder: string): Promise<MigrationFile[]> {
  const entries = await readdir(folder, { withFileTypes: true });
  const names = entries.filter((entry) => entry.isDirectory()).map((entry) => entry.name);
  return Promise.all(
    names.sort().map(async (name) => {
      const bytes = await readFile(join(folder, name, 'migration.sql'));
      return {
        name,
        sql: bytes.toString('utf8'),
        checksum: createHash('sha256').update(bytes).digest('hex'),
      };
    }),
  );
}

/**
 * The migrations that are still to be applied, in order.
 * @throws MigrationError when an applied one was changed or is missing here, or a new one sorts before an applied one
 */
export function pendingMigrations(
  files: readonly MigrationFile[],
  applied: readonly AppliedMigration[],
): MigrationFile[] {
  const byName = new Map(files.map((file) => [file.name, file]));
  for (const row of applied) {
    const file = byName.get(row.name);
    if (file === undefined) {
      throw new MigrationError(
        `the database has migration ${row.name}, which this program does not know: it is older than the database`,
      );
    }
    if (file.checksum !== row.checksum) {
      throw new MigrationError(`migration ${row.name} was changed after it had been applied`);
    }
  }
  const done = new Set(applied.map((row) => row.name));
  const pending = files.filter((file) => !done.has(file.name));
  const last = applied
    .map((row) => row.name)
    .sort()
    .at(-1);
  const late = pending.find((file) => last !== undefined && file.name < last);
  if (late !== undefined)
    throw new MigrationError(`migration ${late.name} sorts before ${last}, which is applied already`);
  return pending;
}
