import { Injectable } from '@nestjs/common';
import { FABRIC_NOW } from '../../common/database/fabric-now.js';
import { type Sql, sql } from '../../common/database/sql.js';
import type { ReadTx, Tx } from '../../common/transaction/tx.js';
import { NodeFacets } from './node-facets.js';
import { countedNodeTables, HEALTH_EXPRESSION, nodeTables } from './nodes.sql.js';

/** Looks that are due in one cluster, beyond which it costs less to look at all of its members at once. */
const CROWD = 2_000;

/** A member, by what identifies it. */
export interface MemberKey {
  clusterId: string;
  nodeId: string;
}

/** A change of health that has no record yet. */
export interface HealthTransition extends MemberKey {
  name: string;
  before: string | null;
  after: string;
  riskyStates: string[];
}

/** Who has fallen silent in a cluster, and until when nobody else can. */
export interface Silence {
  clusterId: string;
  nodeIds: string[];
  nextAt: Date;
}

const SILENT_SECONDS = sql`(p.heartbeat_seconds * p.stale_after_missed)`;
const OFFLINE_SECONDS = sql`(p.heartbeat_seconds * p.offline_after_missed)`;

/** All SQL by which the watch finds those few whose health may be another than its record. The clock is that by which
 *  health is derived, `now()`, and not the recorded time. */
@Injectable()
export class HealthLooksRepository {
  constructor(private readonly facets: NodeFacets) {}

  /** One at a time writes; another one waits, and has then nothing left of what was so when it began. Returns the time. */
  async lock(tx: Tx): Promise<Date> {
    const [row] = await tx.query<{ now: Date }>(
      sql`SELECT now() AS now FROM pg_advisory_xact_lock(7411230002) AS locked`,
    );
    if (row === undefined) throw new Error('the database did not tell the time');
    return row.now;
  }

  /** All clusters, each with what tells one version of its policy from another. */
  async policies(tx: ReadTx): Promise<{ now: Date; versions: Map<string, string> }> {
    const rows = await tx.query<{ now: Date; clusterId: string; version: string }>(sql`
      SELECT now() AS now, p.cluster_id AS "clusterId", p.xmin::text AS version FROM cluster_policies AS p`);
    return {
      now: rows[0]?.now ?? tx.now,
      versions: new Map(rows.map(({ clusterId, version }) => [clusterId, version])),
    };
  }

  /** Clusters in which looks at many nodes are due. */
  async crowded(tx: ReadTx): Promise<string[]> {
    const rows = await tx.query<{ clusterId: string }>(sql`
      SELECT l.cluster_id AS "clusterId" FROM node_health_looks AS l
       WHERE l.due_at <= now() GROUP BY l.cluster_id HAVING count(*) > ${CROWD} OR bool_or(l.node_id IS NULL)`);
    return rows.map(({ clusterId }) => clusterId);
  }

  /** Takes some of the looks at single nodes that are due. */
  take(tx: Tx, limit: number): Promise<MemberKey[]> {
    return tx.query<MemberKey>(sql`
      DELETE FROM node_health_looks AS l USING (
        SELECT d.id FROM node_health_looks AS d WHERE d.due_at <= now() AND d.node_id IS NOT NULL ORDER BY d.due_at LIMIT ${limit}) AS due
       WHERE l.id = due.id RETURNING l.cluster_id AS "clusterId", l.node_id AS "nodeId"`);
  }

  /** Takes all that are due in the clusters. */
  async takeAll(tx: Tx, clusterIds: readonly string[]): Promise<void> {
    await tx.query(sql`
      DELETE FROM node_health_looks AS l WHERE l.cluster_id = ANY(${[...clusterIds]}::uuid[]) AND l.due_at <= now()`);
  }

  /** @param since up to when each cluster has been looked at */
  async silences(tx: ReadTx, since: ReadonlyMap<string, Date>): Promise<{ now: Date; found: Silence[] }> {
    const rows = await tx.query<Silence & { now: Date }>(sql`
      SELECT now() AS now, w.cluster_id AS "clusterId",
             coalesce(array_agg(l.node_id) FILTER (WHERE l.last_seen_at + w.patience <= now()), '{}') AS "nodeIds",
             -- Who is heard of from now on is patiently waited for.
             least(min(l.last_seen_at + w.patience) FILTER (WHERE l.last_seen_at + w.patience > now()),
                   now() + w.patience) AS "nextAt"
        FROM (SELECT g.cluster_id, g.since, make_interval(secs => ${SILENT_SECONDS}) AS patience
                FROM unnest(${[...since.keys()]}::uuid[], ${[...since.values()]}::timestamptz[]) AS g (cluster_id, since)
                JOIN cluster_policies AS p ON p.cluster_id = g.cluster_id) AS w
        LEFT JOIN node_liveness AS l ON l.cluster_id = w.cluster_id AND l.last_seen_at >= w.since - w.patience
       GROUP BY w.cluster_id, w.patience`);
    return { now: rows[0]?.now ?? tx.now, found: rows };
  }

  /** Those of the silent who have been heard of since, or have now been silent for long. */
  silentNoMore(tx: ReadTx): Promise<MemberKey[]> {
    return tx.query<MemberKey>(sql`
      SELECT r.cluster_id AS "clusterId", r.node_id AS "nodeId"
        FROM node_health_records AS r
        JOIN cluster_policies AS p ON p.cluster_id = r.cluster_id
        JOIN node_liveness AS l ON l.cluster_id = r.cluster_id AND l.node_id = r.node_id
        JOIN cluster_memberships AS m ON m.cluster_id = r.cluster_id AND m.node_id = r.node_id
       WHERE r.health IN ('stale', 'offline') AND m.membership_status <> 'revoked'
         AND r.health <> CASE
           WHEN now() >= l.last_seen_at + make_interval(secs => ${OFFLINE_SECONDS}) THEN 'offline'
           WHEN now() >= l.last_seen_at + make_interval(secs => ${SILENT_SECONDS}) THEN 'stale'
           ELSE 'heard of' END`);
  }

  /** Writes down what has changed among some nodes, each looked at by itself. */
  recordOf(tx: Tx, nodes: readonly MemberKey[]): Promise<HealthTransition[]> {
    return this.record(
      tx,
      sql`SELECT n.* FROM (SELECT DISTINCT g.cluster_id, g.node_id FROM unnest(
              ${nodes.map(({ clusterId }) => clusterId)}::uuid[], ${nodes.map(({ nodeId }) => nodeId)}::uuid[])
              AS g (cluster_id, node_id)) AS wanted
           CROSS JOIN LATERAL (${this.healths(nodeTables(this.facets), sql`m.cluster_id = wanted.cluster_id AND m.node_id = wanted.node_id`)}
             OFFSET 0) AS n`,
    );
  }

  /** Writes down what has changed among all members of the clusters, up to so many. */
  recordAll(tx: Tx, clusterIds: readonly string[], limit: number): Promise<HealthTransition[]> {
    const among = sql`m.cluster_id = ANY(${[...clusterIds]}::uuid[])`;
    const healths = this.healths(countedNodeTables(this.facets, among), among);
    return this.record(
      tx,
      sql`${healths} AND ${HEALTH_EXPRESSION} IS DISTINCT FROM r.health ORDER BY m.node_id LIMIT ${limit}`,
    );
  }

  /** The health of members as it is, and as it is written down. */
  private healths(tables: Sql, which: Sql): Sql {
    return sql`
      SELECT m.cluster_id, m.node_id, m.name, r.health AS before, ${HEALTH_EXPRESSION} AS after,
             coalesce(x.risks, ARRAY[]::text[]) AS risks
        FROM ${tables}
        LEFT JOIN node_health_records AS r ON r.cluster_id = m.cluster_id AND r.node_id = m.node_id
       WHERE ${which} AND m.membership_status <> 'revoked' AND l.last_seen_at IS NOT NULL`;
  }

  private record(tx: Tx, healths: Sql): Promise<HealthTransition[]> {
    return tx.query<HealthTransition>(sql`
      WITH changed AS MATERIALIZED (
        SELECT h.* FROM (${healths}) AS h WHERE h.after IS DISTINCT FROM h.before
      ), recorded AS (
        INSERT INTO node_health_records AS r (cluster_id, node_id, health, since)
        SELECT c.cluster_id, c.node_id, c.after, ${FABRIC_NOW} FROM changed AS c
        ON CONFLICT (cluster_id, node_id) DO UPDATE SET health = excluded.health, since = excluded.since
      )
      SELECT c.cluster_id AS "clusterId", c.node_id AS "nodeId", c.name, c.before, c.after, c.risks AS "riskyStates"
        FROM changed AS c ORDER BY c.node_id`);
  }
}
