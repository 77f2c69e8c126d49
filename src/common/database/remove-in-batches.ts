import type { Database } from './database.js';
import type { Sql } from './sql.js';

/** Rows that a removal takes at a time, so that no statement holds locks for long. */
export const BATCH_ROWS = 5_000;

/** Repeats a removal of at most {@link BATCH_ROWS}, which returns how many `rows` it took, until it takes fewer. */
export async function removeInBatches(database: Database, removal: Sql): Promise<void> {
  for (;;) {
    const [removed] = await database.query<{ rows: number }>(removal);
    if ((removed?.rows ?? 0) < BATCH_ROWS) return;
  }
}
