import pg from 'pg';

interface Table {
  name: string;
  columns: string;
}

/**
 * Restores what one database holds into another one that has the same tables, row by row as a dump does: rows, ids and
 * transaction ids are those of the source, and the server is another.
 * @param targetUrl as a superuser, since neither foreign keys nor triggers may speak while rows come in any order
 */
export async function copyDatabase(sourceUrl: string, targetUrl: string): Promise<void> {
  const source = new pg.Client({ connectionString: sourceUrl });
  const target = new pg.Client({ connectionString: targetUrl });
  await Promise.all([source.connect(), target.connect()]);
  try {
    await source.query('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY');
    await target.query('BEGIN');
    await target.query(`SET LOCAL session_replication_role = 'replica'`);
    const tables = await tablesOf(target);
    await target.query(`TRUNCATE ${tables.map(({ name }) => `"${name}"`).join(', ')}`);
    for (const { name, columns } of tables) {
      const { rows } = await source.query(
        `SELECT coalesce(jsonb_agg(to_jsonb(t)), '[]')::text AS all FROM "${name}" AS t`,
      );
      await target.query(
        `INSERT INTO "${name}" (${columns}) OVERRIDING SYSTEM VALUE
         SELECT ${columns} FROM jsonb_populate_recordset(NULL::"${name}", $1::jsonb)`,
        [rows[0].all],
      );
    }
    await target.query(
      `SELECT setval(pg_get_serial_sequence('change_feed', 'id'), (SELECT max(id) FROM change_feed))`,
    );
    await target.query('COMMIT');
  } finally {
    await Promise.all([source.end(), target.end()]);
  }
}

/** A partitioned table stands for its partitions. What the migrator keeps is as it is. */
async function tablesOf(client: pg.Client): Promise<Table[]> {
  const { rows } = await client.query<Table>(`
    SELECT c.relname AS name, string_agg(quote_ident(a.attname), ', ') AS columns
      FROM pg_class AS c
      JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
     WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
       AND c.relname <> '_prisma_migrations'
     GROUP BY c.relname ORDER BY c.relname`);
  return rows;
}
