import { Injectable } from '@nestjs/common';
import { join, type Sql, sql } from '../../common/database/sql.js';
import type { CursorValues } from '../../common/http/cursor.js';
import type { Cause } from '../../common/snapshots/snapshot-source.js';
import type { ReadTx } from '../../common/transaction/tx.js';
import type { AuditFilter, AuditRecord } from './audit-record.js';

const COLUMNS = sql`e.id, e.occurred_at AS "occurredAt", e.actor_type AS "actorType", e.actor_id AS "actorId",
  e.actor_name AS "actorName", e.actor_ip AS "actorIp", e.actor_user_agent AS "actorUserAgent", e.action,
  e.resource_type AS "resourceType", e.resource_id AS "resourceId", e.resource_name AS "resourceName",
  e.cluster_id AS "clusterId", e.organization_id AS "organizationId", e.outcome, e.high_risk AS "highRisk",
  e.request_id AS "requestId", e.reason, e.before, e.after`;

/** Reads the log; nothing here or elsewhere changes it. */
@Injectable()
export class AuditRepository {
  /** Newest first, at most `limit`, starting behind `after`. */
  list(tx: ReadTx, filter: AuditFilter, after: CursorValues | null, limit: number): Promise<AuditRecord[]> {
    return tx.query<AuditRecord>(newest([...conditionsOf(filter), ...behind(after)], limit));
  }

  /** Events of the cluster that are about `who` or were caused by it: two indexes, each read as far as is needed. */
  listConcerning(
    tx: ReadTx,
    clusterId: string,
    { type, id }: { type: string; id: string },
    after: CursorValues | null,
    limit: number,
  ): Promise<AuditRecord[]> {
    const within = [sql`e.cluster_id = ${clusterId}::uuid`, ...behind(after)];
    const about = newest([sql`e.resource_id = ${id} AND e.resource_type = ${type}`, ...within], limit);
    const by = newest(
      [
        sql`e.actor_id = ${id} AND e.actor_type = ${type}`,
        sql`(e.resource_id, e.resource_type) IS DISTINCT FROM (${id}::text, ${type}::text)`,
        ...within,
      ],
      limit,
    );
    return tx.query<AuditRecord>(sql`
      SELECT * FROM ((${about}) UNION ALL (${by})) AS e ORDER BY e."occurredAt" DESC, e.id DESC LIMIT ${limit}`);
  }

  /** The latest successful event of each action of each cause; `group` is the place of its group in the list. */
  latestOf(
    tx: ReadTx,
    clusterId: string,
    groups: readonly (readonly Cause[])[],
  ): Promise<(AuditRecord & { group: number })[]> {
    const wanted = groups.flatMap((causes, group) => causes.flatMap((cause) => rowsOf(cause, group)));
    return tx.query(sql`
      SELECT w."group", found.*
        FROM jsonb_to_recordset(${JSON.stringify(wanted)}::jsonb) AS w ("group" int, action text, resource_type text,
             resource_id text, changes text[], before jsonb, after jsonb, not_before jsonb, not_after jsonb)
       CROSS JOIN LATERAL (
         SELECT ${COLUMNS} FROM audit_events AS e
          WHERE e.resource_id = w.resource_id AND e.action = w.action AND e.outcome = 'success'
            AND e.resource_type = w.resource_type AND e.cluster_id = ${clusterId}::uuid
            AND (w.changes IS NULL OR EXISTS (SELECT 1 FROM unnest(w.changes) AS c (member)
                                               WHERE e.before -> c.member IS DISTINCT FROM e.after -> c.member))
            AND (w.before IS NULL OR e.before @> w.before) AND (w.after IS NULL OR e.after @> w.after)
            AND (w.not_before IS NULL OR NOT coalesce(e.before @> w.not_before, false))
            AND (w.not_after IS NULL OR NOT coalesce(e.after @> w.not_after, false))
          ORDER BY e.occurred_at DESC, e.id DESC LIMIT 1) AS found`);
  }

  /** One event of the clusters that the reader may see (null: all), written in the given time. */
  async find(
    tx: ReadTx,
    id: string,
    written: { from: Date; to: Date },
    clusters: readonly string[] | null,
  ): Promise<AuditRecord | null> {
    const [row] = await tx.query<AuditRecord>(sql`
      SELECT ${COLUMNS} FROM audit_events AS e
       WHERE e.id = ${id}::uuid AND e.occurred_at >= ${written.from} AND e.occurred_at < ${written.to}
         AND ${join(conditionsOf({ clusters }), ' AND ')}`);
    return row ?? null;
  }
}

/** One row for each action, so that each is one look into the index. */
function rowsOf({ resource, actions, changes, before, after, notBefore, notAfter }: Cause, group: number) {
  return actions.map((action) => ({
    group,
    action,
    resource_type: resource.type,
    resource_id: resource.id,
    changes,
    before,
    after,
    not_before: notBefore,
    not_after: notAfter,
  }));
}

function newest(conditions: readonly Sql[], limit: number): Sql {
  return sql`SELECT ${COLUMNS} FROM audit_events AS e WHERE ${join([...conditions], ' AND ')}
    ORDER BY e.occurred_at DESC, e.id DESC LIMIT ${limit}`;
}

function behind(after: CursorValues | null): Sql[] {
  if (after === null) return [];
  return [
    // The first bound follows from the second and is the one by which whole months are left out.
    sql`e.occurred_at <= ${after[0]}::timestamptz`,
    sql`(e.occurred_at, e.id) < (${after[0]}::timestamptz, ${after[1]}::uuid)`,
  ];
}

function conditionsOf(filter: AuditFilter): Sql[] {
  const { clusters, clusterId, organizationId, from, to, highRisk, q } = filter;
  const conditions: Sql[] = [sql`true`];
  if (clusters !== null) conditions.push(withinClusters(clusters));
  if (clusterId !== undefined) conditions.push(sql`e.cluster_id = ${clusterId}::uuid`);
  if (organizationId !== undefined) conditions.push(sql`e.organization_id = ${organizationId}::uuid`);
  // As dates: a text of the year 0 is one that Postgres does not read.
  if (from !== undefined) conditions.push(sql`e.occurred_at >= ${new Date(from)}`);
  if (to !== undefined) conditions.push(sql`e.occurred_at < ${new Date(to)}`);
  // Written out, so that the partial index for high-risk events fits.
  if (highRisk !== undefined) conditions.push(highRisk ? sql`e.high_risk` : sql`NOT e.high_risk`);
  for (const [column, value] of texts(filter))
    if (value !== undefined) conditions.push(sql`${column} = ${value}`);
  if (q !== undefined) conditions.push(containing(q));
  return conditions;
}

function texts(filter: AuditFilter): [Sql, string | undefined][] {
  return [
    [sql`e.actor_id`, filter.actorId],
    [sql`e.actor_type`, filter.actorType],
    [sql`e.action`, filter.action],
    [sql`e.resource_type`, filter.resourceType],
    [sql`e.resource_id`, filter.resourceId],
    [sql`e.outcome`, filter.outcome],
    [sql`e.request_id`, filter.requestId],
  ];
}

/** With one cluster, the usual case, the index on it gives the order as well. */
function withinClusters(clusters: readonly string[]): Sql {
  const [only] = clusters;
  if (clusters.length === 1) return sql`e.cluster_id = ${only}::uuid`;
  return sql`e.cluster_id = ANY(${clusters}::uuid[])`;
}

function containing(text: string): Sql {
  return sql`strpos(lower(concat_ws(E'\n', e.action, e.actor_name, e.resource_name, e.resource_id, e.reason)),
                    lower(${text})) > 0`;
}
