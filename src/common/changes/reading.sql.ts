import type { Database } from '../database/database.js';
import { type Sql, sql } from '../database/sql.js';
import type { FeedChange } from './feed-change.js';
import type { FeedPosition } from './feed-position.js';

/** Where a page ended, in the order in which the feed is read. */
export interface PageEnd {
  xid: string;
  id: number;
}

/** Some rows of the feed. */
export interface FeedPage {
  changes: FeedChange[];
  /** Where the next page starts; null on the last one. */
  next: PageEnd | null;
}

/** The first page of a read, with the instant that the whole read stands for. */
export interface FirstPage extends FeedPage {
  snapshot: string;
  /** Names the database server and its timeline; null when it was not asked for. */
  server: string | null;
}

type Row = FeedChange & { xid: string };

const COLUMNS = sql`f.xid::text AS xid, f.id, f.kind, f.resource_type AS "resourceType",
  f.resource_id AS "resourceId", f.cluster_id AS "clusterId", f.node_id AS "nodeId", f.revision,
  f.occurred_at AS "occurredAt"`;

// A promotion raises the timeline, a restore from a dump has another identifier.
const SERVER = sql`(SELECT concat_ws('/', s.system_identifier, s.timeline_id) FROM fabric_server() AS s)`;

/** The present instant of the database, and which database it is. */
export async function currentState(database: Database): Promise<{ snapshot: string; server: string }> {
  const [row] = await database.query<{ snapshot: string; server: string }>(
    sql`SELECT pg_current_snapshot()::text AS snapshot, ${SERVER} AS server`,
  );
  if (row === undefined) throw new Error('the database did not tell its state');
  return row;
}

/** The oldest rows that are visible now and were not at `from`. Every instance asks so after every commit. */
export async function firstPage(
  database: Database,
  from: FeedPosition,
  { limit, checksServer }: { limit: number; checksServer: boolean },
): Promise<FirstPage> {
  const rows = await database.queryPrepared<
    (Row | { id: null }) & { snapshot: string; server: string | null }
  >(sql`
    SELECT here.snapshot, here.server, fresh.*
      FROM (SELECT pg_current_snapshot()::text AS snapshot,
                   CASE WHEN ${checksServer}::boolean THEN ${SERVER} END AS server) AS here
      LEFT JOIN (${newRows(from, limit, sql`true`)}) AS fresh ON true
     ORDER BY fresh.xid::xid8, fresh.id`);
  const [head] = rows;
  if (head === undefined) throw new Error('the database did not tell its state');
  const { snapshot, server } = head;
  return { snapshot, server, ...page(rows.filter((row) => row.id !== null) as Row[], limit) };
}

/** The rows after `end` that were new to `from` and visible at `until`, the instant of the first page. */
export async function nextPage(
  database: Database,
  from: FeedPosition,
  until: FeedPosition,
  end: PageEnd,
  limit: number,
): Promise<FeedPage> {
  const condition = sql`(f.xid, f.id) > (${end.xid}::xid8, ${end.id}::bigint)
    AND pg_visible_in_snapshot(f.xid, ${until.snapshot}::pg_snapshot)`;
  const rows = await database.query<Row>(sql`
    SELECT fresh.* FROM (${newRows(from, limit, condition)}) AS fresh ORDER BY fresh.xid::xid8, fresh.id`);
  return page(rows, limit);
}

/** Of all rows that are visible now and were not at `from` these columns, where the condition holds. */
export function unheard(from: FeedPosition, columns: Sql, condition: Sql): Sql {
  const [later, open] = ranges(from);
  const part = (range: Sql) => sql`SELECT ${columns} FROM change_feed AS f WHERE ${range} AND ${condition}`;
  return sql`${part(later)} UNION ALL ${part(open)}`;
}

function newRows(from: FeedPosition, limit: number, condition: Sql): Sql {
  const [later, open] = ranges(from);
  const part = (range: Sql) => sql`
    (SELECT ${COLUMNS} FROM change_feed AS f WHERE ${range} AND ${condition} ORDER BY f.xid, f.id LIMIT ${limit})`;
  return sql`
    SELECT e.* FROM (${part(later)} UNION ALL ${part(open)}) AS e ORDER BY e.xid::xid8, e.id LIMIT ${limit}`;
}

/**
 * Two ranges of the index on (xid, id), so that a transaction that stays open for an hour costs one probe a read and
 * not another look at everything that was committed since.
 */
function ranges(from: FeedPosition): [Sql, Sql] {
  return [sql`f.xid >= ${from.xmax}::xid8`, sql`f.xid = ANY(${from.inProgress}::xid8[])`];
}

function page(rows: Row[], limit: number): FeedPage {
  const last = rows.at(-1);
  const next = rows.length < limit || last === undefined ? null : { xid: last.xid, id: last.id };
  const changes = rows.map(
    ({ id, kind, resourceType, resourceId, clusterId, nodeId, revision, occurredAt }) => ({
      id,
      kind,
      resourceType,
      resourceId,
      clusterId,
      nodeId,
      revision,
      occurredAt,
    }),
  );
  return { changes, next };
}
