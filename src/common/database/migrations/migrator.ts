import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import pg from 'pg';
import { projectRoot } from '../../project-root.js';
import { surviveBreak } from '../survive-break.js';
import { grantsFor } from './grants.js';
import {
  type AppliedMigration,
  MigrationError,
  type MigrationFile,
  pendingMigrations,
  readMigrations,
} from './migration-files.js';

/** Any instance that starts takes this session lock first, so that two starting at once migrate one after the other. */
const MIGRATION_LOCK = 7_411_230_001;
const AUDIT_MONTHS_AHEAD = 12;

export interface MigrateOptions {
  /** Owns the tables. */
  ownerUrl: string;
  /** Runs the service; gets its grants here. */
  appUrl: string;
  /** Default: the project's `prisma/migrations`. */
  folder?: string;
  log?: (line: string) => void;
}

/**
 * Brings the database to the newest schema and tells what was applied. Recorded in `_prisma_migrations` as Prisma
 * does, so that `prisma migrate status` and `deploy` agree. Each migration commits with its record or not at all.
 * @throws MigrationError when database and program do not fit together, or a migration fails
 */
export async function migrate(options: MigrateOptions): Promise<{ applied: string[] }> {
  const files = await readMigrations(options.folder ?? join(projectRoot(), 'prisma', 'migrations'));
  const appRole = await roleOf(options.appUrl);
  const client = new pg.Client({ connectionString: options.ownerUrl, application_name: 'fabric-migrator' });
  surviveBreak(client);
  await client.connect();
  try {
    await client.query('SELECT pg_advisory_lock($1)', [MIGRATION_LOCK]);
    await client.query(MIGRATIONS_TABLE);
    const pending = pendingMigrations(files, await appliedMigrations(client));
    for (const file of pending) {
      await apply(client, file);
      options.log?.(`applied migration ${file.name}`);
    }
    await client.query('SELECT ensure_audit_partitions($1)', [AUDIT_MONTHS_AHEAD]);
    // At once: between granting all tables and revoking some, a running service could rewrite history.
    const grants = grantsFor(appRole, await roleOf(options.ownerUrl));
    await client.query(['BEGIN', ...grants, 'COMMIT'].join(';\n'));
    return { applied: pending.map((file) => file.name) };
  } finally {
    await client.end();
  }
}

const MIGRATIONS_TABLE = `CREATE TABLE IF NOT EXISTS _prisma_migrations (
  id varchar(36) PRIMARY KEY NOT NULL,
  checksum varchar(64) NOT NULL,
  finished_at timestamptz,
  migration_name varchar(255) NOT NULL,
  logs text,
  rolled_back_at timestamptz,
  started_at timestamptz NOT NULL DEFAULT now(),
  applied_steps_count integer NOT NULL DEFAULT 0
)`;

async function appliedMigrations(client: pg.Client): Promise<AppliedMigration[]> {
  const { rows } = await client.query<{ name: string; checksum: string; finished: boolean }>(
    `SELECT migration_name AS name, checksum, finished_at IS NOT NULL AS finished
       FROM _prisma_migrations WHERE rolled_back_at IS NULL ORDER BY migration_name`,
  );
  const broken = rows.find((row) => !row.finished);
  if (broken !== undefined) {
    throw new MigrationError(
      `migration ${broken.name} is recorded as begun and not finished; resolve it with prisma migrate resolve`,
    );
  }
  return rows;
}

async function apply(client: pg.Client, file: MigrationFile): Promise<void> {
  await client.query('BEGIN');
  try {
    await client.query(file.sql);
    await client.query(
      `INSERT INTO _prisma_migrations (id, checksum, migration_name, started_at, finished_at, applied_steps_count)
       VALUES ($1, $2, $3, now(), clock_timestamp(), 1)`,
      [randomUUID(), file.checksum, file.name],
    );
    await client.query('COMMIT');
  } catch (error) {
    await client.query('ROLLBACK').catch(() => undefined);
    const reason = error instanceof Error ? error.message : String(error);
    throw new MigrationError(`migration ${file.name} failed and was undone: ${reason}`, { cause: error });
  }
}

async function roleOf(connectionString: string): Promise<string> {
  const client = new pg.Client({ connectionString });
  surviveBreak(client);
  await client.connect();
  try {
    const { rows } = await client.query<{ role: string }>('SELECT current_user AS role');
    return rows[0]?.role ?? '';
  } finally {
    await client.end();
  }
}
