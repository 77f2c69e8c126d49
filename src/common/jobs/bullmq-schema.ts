import {
  assertSchemaCompatibility,
  LATEST_SCHEMA_VERSION,
  runMigrations,
  SchemaMigrationRequiredError,
} from 'bullmq';
import type pg from 'pg';

/** The Postgres schema that holds BullMQ's tables. A migration of ours creates it. */
const SCHEMA = 'bullmq';

/**
 * Brings BullMQ's tables up to date. Any number of processes may call it at once: BullMQ's migrator takes an advisory
 * lock and does all of it in one transaction. The role needs USAGE and CREATE on the schema and becomes the owner of
 * the tables; it needs no right on the database.
 * @throws when the schema is missing, the role may not create in it, or a newer BullMQ has migrated it
 */
export async function migrateJobsSchema(pool: pg.Pool): Promise<void> {
  const client = await pool.connect();
  let failure: unknown;
  try {
    if ((await currentVersion(client)) < LATEST_SCHEMA_VERSION) {
      await runMigrations(withoutCreateSchema(client), SCHEMA);
    }
  } catch (error) {
    failure = error;
    throw error;
  } finally {
    // After a failure the session may still be in a transaction: it is destroyed.
    client.release(failure !== undefined);
  }
}

/** Looking first keeps the usual start free of DDL, which only the owner of the tables may do. */
async function currentVersion(client: pg.PoolClient): Promise<number> {
  try {
    return await assertSchemaCompatibility(client, SCHEMA);
  } catch (error) {
    if (error instanceof SchemaMigrationRequiredError) return 0;
    throw error;
  }
}

/**
 * Postgres checks the right to create schemas before it looks at IF NOT EXISTS, so the migrator's first statement
 * would need CREATE on the whole database although the schema is there. It is left out.
 */
function withoutCreateSchema(client: pg.PoolClient): Parameters<typeof runMigrations>[0] {
  return {
    async query<R>(text: string, values?: readonly unknown[]) {
      if (text.startsWith('CREATE SCHEMA IF NOT EXISTS')) return { rows: [] as R[] };
      const { rows } = await client.query(text, values === undefined ? undefined : [...values]);
      return { rows: rows as R[] };
    },
  };
}
