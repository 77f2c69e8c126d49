import type { ControlPlane } from './control-plane.js';

/**
 * What background work of the service writes at its own time, whoever calls: the order of the feed, the last use of a
 * token, the queue's own schema, the recorded time, the presence of instances.
 */
const AT_ITS_OWN_TIME = ['position', 'last_used_at'];
const NOT_LOOKED_AT = ['change_feed_sequencer', 'database_clock', 'service_presence'];

/** A digest of the rows of every table of the service, by table. Two that are equal hold the same rows. */
export async function tableDigests({ database }: ControlPlane): Promise<Record<string, string>> {
  const tables = await database.query<{ name: string }>(
    `SELECT c.relname AS name FROM pg_class AS c
      WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace AND c.relname <> ALL($1) ORDER BY 1`,
    [NOT_LOOKED_AT],
  );
  const digests: Record<string, string> = {};
  for (const { name } of tables) {
    const [row] = await database.query<{ rows: number; digest: string }>(
      `SELECT count(*)::int AS rows, md5(coalesce(string_agg(r.text, ',' ORDER BY r.text), '')) AS digest
         FROM (SELECT (to_jsonb(t) - $1::text[])::text AS text FROM "${name}" AS t) AS r`,
      [AT_ITS_OWN_TIME],
    );
    digests[name] = `${row?.rows} rows, ${row?.digest}`;
  }
  return digests;
}
