import { Injectable } from '@nestjs/common';
import { Database } from '../../common/database/database.js';
import { FABRIC_NOW } from '../../common/database/fabric-now.js';
import { ABSENT_SECONDS } from '../../common/database/presence.js';
import { type Sql, sql } from '../../common/database/sql.js';
import type { ReadTx } from '../../common/transaction/tx.js';
import { BRAKE_POPULATION, BRAKE_SECONDS, type MassLapse } from '../authority/mass-lapse.js';
import type { PartitionSide } from '../authority/partition.js';
import type { PolicyView } from '../clusters/policy.schema.js';
import { NodeFacets } from './node-facets.js';
import type { AuthorityReport, PartitionSight, ReportedAuthority } from './partition-detection.js';

/** A cluster in which partitions are looked for, with what a look at it sees. */
export type WatchedCluster = Omit<PartitionSight, 'isBraked'> & {
  clusterId: string;
  policy: PolicyView['partitionDetection'];
};

/** Nodes of a side that are named. */
const NAMED = 100;
/** Of reports; what is older has long stopped to count. */
const KEPT_DAYS = 1;
/** Instants are kept to the millisecond, so that this is the half-open window of `findMassLapse`. */
const BRAKE_WINDOW = sql`make_interval(secs => ${BRAKE_SECONDS} - 0.001)`;

const NOW = sql`(SELECT fabric_now() AS now) AS n`;

/**
 * Reports that count, of a cluster `c` with policy `p`: of a member on a member, not older than a node that is not
 * stale, and given twice at least, since between two heartbeats a node may still say what was true before.
 */
const COUNTING = sql`node_authority_reports AS r
  JOIN cluster_memberships AS m ON m.cluster_id = r.cluster_id AND m.node_id = r.node_id AND m.membership_status <> 'revoked'
  JOIN cluster_memberships AS s ON s.cluster_id = r.cluster_id AND s.node_id = r.subject_id AND s.membership_status <> 'revoked'
  WHERE r.cluster_id = c.id
    AND r.reported_at > n.now - make_interval(secs => p.heartbeat_seconds * p.stale_after_missed)
    AND r.reported_at - r.first_reported_at >= make_interval(secs => p.heartbeat_seconds / 2.0)`;

/** What partitions are found by, read set by set. */
@Injectable()
export class PartitionEvidenceRepository {
  constructor(
    private readonly database: Database,
    private readonly facets: NodeFacets,
  ) {}

  /** Keeps reports of one node; those on others than members are left out. */
  async report(
    { clusterId, nodeId }: { clusterId: string; nodeId: string },
    reports: readonly AuthorityReport[],
  ): Promise<void> {
    await this.database.query(sql`
      INSERT INTO node_authority_reports AS r (cluster_id, node_id, subject_id, authority_term, authority_holder,
             first_reported_at, reported_at)
      SELECT m.cluster_id, ${nodeId}::uuid, m.node_id, u.term, u.holder, n.now, n.now
        FROM unnest(${reports.map((report) => report.subjectId)}::uuid[], ${reports.map((report) => report.term)}::bigint[],
                    ${reports.map((report) => report.holder)}::text[]) AS u (subject_id, term, holder)
        JOIN cluster_memberships AS m ON m.cluster_id = ${clusterId}::uuid AND m.node_id = u.subject_id
       CROSS JOIN ${NOW}
       ORDER BY m.node_id
      ON CONFLICT (cluster_id, node_id, subject_id) DO UPDATE SET
        first_reported_at = CASE WHEN r.authority_term = excluded.authority_term
                                  AND r.authority_holder IS NOT DISTINCT FROM excluded.authority_holder
                                 THEN r.first_reported_at ELSE excluded.first_reported_at END,
        authority_term = excluded.authority_term, authority_holder = excluded.authority_holder,
        reported_at = excluded.reported_at`);
  }

  /** Active clusters whose policy looks for partitions, and those of `others`; or one of them. */
  async watched(
    tx: ReadTx,
    which: { others: readonly string[] } | { clusterId: string },
  ): Promise<WatchedCluster[]> {
    const condition =
      'clusterId' in which
        ? sql`c.id = ${which.clusterId}::uuid`
        : sql`(coalesce((p.partition_detection ->> 'enabled')::boolean, false) OR c.id = ANY(${which.others}::uuid[]))`;
    const rows = await tx.query<
      Omit<WatchedCluster, 'authority'> & WatchedCluster['authority'] & { reported: ReportedAuthority[] }
    >(sql`
      SELECT c.id AS "clusterId", p.partition_detection AS policy, a.state, a.term, a.holder,
             v.present_at < n.now - make_interval(secs => ${ABSENT_SECONDS}) AS "isDeaf",
             CASE WHEN jsonb_exists(p.partition_detection, 'quorum') THEN (
               SELECT jsonb_build_object('total', count(*), 'present', count(*) FILTER (WHERE ${this.isPresent()}))
                 FROM ${this.voters()}) END AS quorum,
             coalesce((SELECT jsonb_agg(g) FROM (
               SELECT r.authority_term AS term, r.authority_holder AS holder,
                      count(DISTINCT r.node_id) AS reporters, count(DISTINCT r.subject_id) AS subjects
                 FROM ${COUNTING} GROUP BY r.authority_term, r.authority_holder
                ORDER BY r.authority_term, r.authority_holder) AS g), '[]') AS reported
        FROM clusters AS c
        JOIN cluster_authorities AS a ON a.cluster_id = c.id
        JOIN cluster_policies AS p ON p.cluster_id = c.id
       CROSS JOIN service_presence AS v
       CROSS JOIN ${NOW}
       WHERE c.status = 'active' AND ${condition}`);
    return rows.map(({ state, term, holder, ...row }) => ({ ...row, authority: { state, term, holder } }));
  }

  /** Those who report another authority, and those of whom they report it. */
  async sidesOfContradiction(
    tx: ReadTx,
    { clusterId, authority }: Pick<WatchedCluster, 'clusterId' | 'authority'>,
    other: { term: number; holder: string | null },
  ): Promise<PartitionSide[]> {
    const side = (column: Sql) => sql`
      SELECT DISTINCT ${column} AS id
        FROM clusters AS c JOIN cluster_policies AS p ON p.cluster_id = c.id CROSS JOIN ${NOW}, LATERAL (
          SELECT r.node_id, r.subject_id FROM ${COUNTING} AND r.authority_term = ${other.term}::bigint
             AND r.authority_holder IS NOT DISTINCT FROM ${other.holder}) AS r
       WHERE c.id = ${clusterId}::uuid`;
    const { term, holder } = authority;
    return [
      {
        side: 'here',
        authorityTerm: term,
        authorityHolder: holder,
        ...(await named(tx, side(sql`r.node_id`))),
      },
      {
        side: 'elsewhere',
        authorityTerm: other.term,
        authorityHolder: other.holder,
        ...(await named(tx, side(sql`r.subject_id`))),
      },
    ];
  }

  /** Those who report, and those who are silent. */
  async sidesOfQuorum(
    tx: ReadTx,
    { clusterId, authority }: Pick<WatchedCluster, 'clusterId' | 'authority'>,
  ): Promise<PartitionSide[]> {
    const side = (isPresent: Sql) => sql`
      SELECT q.node_id AS id
        FROM clusters AS c JOIN cluster_policies AS p ON p.cluster_id = c.id
       CROSS JOIN service_presence AS v CROSS JOIN ${NOW}, LATERAL (
          SELECT m.node_id, ${this.isPresent()} AS present FROM ${this.voters()}) AS q
       WHERE c.id = ${clusterId}::uuid AND ${isPresent}`;
    const { term, holder } = authority;
    const missing = await named(tx, side(sql`NOT q.present`));
    return [
      {
        side: 'here',
        authorityTerm: term,
        authorityHolder: holder,
        ...(await named(tx, side(sql`q.present`))),
      },
      { side: 'missing', authorityTerm: null, authorityHolder: null, ...missing },
    ];
  }

  /**
   * Mass lapses of nodes, by cluster: a node lapses when it becomes stale. `findMassLapse` said in SQL; clusters in
   * which fewer have lapsed than live are left out before anything is sorted, and those in which hardly anybody is silent
   * before members are looked at.
   */
  async massLapses(tx: ReadTx): Promise<Map<string, MassLapse>> {
    const rows = await tx.query<MassLapse & { clusterId: string }>(sql`
      WITH silent AS MATERIALIZED (
        SELECT l.cluster_id
          FROM (SELECT p.cluster_id, ${FABRIC_NOW} - make_interval(secs => p.heartbeat_seconds * p.stale_after_missed) AS since
                  FROM cluster_policies AS p OFFSET 0) AS w
          JOIN node_liveness AS l ON l.cluster_id = w.cluster_id
         WHERE l.last_seen_at <= w.since
         GROUP BY l.cluster_id HAVING count(*) * 2 > ${BRAKE_POPULATION}
      ), member AS (
        SELECT m.cluster_id, l.last_seen_at + make_interval(secs => p.heartbeat_seconds * p.stale_after_missed) AS lapses_at
          FROM silent AS s
          JOIN clusters AS c ON c.id = s.cluster_id AND c.status = 'active'
          JOIN cluster_policies AS p ON p.cluster_id = c.id
          JOIN cluster_memberships AS m ON m.cluster_id = c.id
          JOIN node_liveness AS l ON l.cluster_id = m.cluster_id AND l.node_id = m.node_id
         WHERE m.membership_status = 'active'
      ), suspect AS (
        SELECT m.cluster_id FROM member AS m GROUP BY m.cluster_id
        HAVING count(*) >= ${BRAKE_POPULATION} AND count(*) FILTER (WHERE m.lapses_at <= ${FABRIC_NOW}) * 2 > count(*)
      ), looked AS (
        SELECT m.cluster_id, m.lapses_at, m.lapses_at <= ${FABRIC_NOW} AS has_lapsed,
               count(*) FILTER (WHERE m.lapses_at <= ${FABRIC_NOW}) OVER (PARTITION BY m.cluster_id ORDER BY m.lapses_at
                 RANGE BETWEEN CURRENT ROW AND ${BRAKE_WINDOW} FOLLOWING) AS lapsed,
               count(*) OVER (PARTITION BY m.cluster_id ORDER BY m.lapses_at
                 RANGE BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING) AS population
          FROM member AS m JOIN suspect AS s ON s.cluster_id = m.cluster_id
      )
      SELECT DISTINCT ON (k.cluster_id) k.cluster_id AS "clusterId", k.lapses_at AS since, k.lapsed::int, k.population::int
        FROM looked AS k
       WHERE k.has_lapsed AND k.population >= ${BRAKE_POPULATION} AND k.lapsed * 2 > k.population
       ORDER BY k.cluster_id, k.lapsed DESC, k.lapses_at`);
    return new Map(rows.map(({ clusterId, ...lapse }) => [clusterId, lapse]));
  }

  /** Removes what has long stopped to count. */
  async prune(): Promise<void> {
    await this.database.query(sql`
      DELETE FROM node_authority_reports AS r WHERE r.reported_at < fabric_now() - make_interval(days => ${KEPT_DAYS})`);
  }

  /** Active members that have ever reported, with the role that the policy names; of `c` with policy `p`. */
  private voters(): Sql {
    return sql`cluster_memberships AS m
      JOIN node_liveness AS l ON l.cluster_id = m.cluster_id AND l.node_id = m.node_id
     WHERE m.cluster_id = c.id AND m.membership_status = 'active'
       AND CASE WHEN p.partition_detection #>> '{quorum,role}' IS NULL THEN true
                ELSE p.partition_detection #>> '{quorum,role}' = ANY(${this.facets.roles}) END`;
  }

  /** A node's silence began with its last heartbeat, and no earlier than somebody was there to hear it. */
  private isPresent(): Sql {
    return sql`greatest(l.last_seen_at, v.present_since)
      > n.now - make_interval(secs => (p.partition_detection #>> '{quorum,windowSeconds}')::integer)`;
  }
}

async function named(tx: ReadTx, ids: Sql): Promise<Pick<PartitionSide, 'nodeCount' | 'nodeIds'>> {
  const [row] = await tx.query<{ nodeCount: number; nodeIds: string[] }>(sql`
    SELECT count(*)::int AS "nodeCount", coalesce((array_agg(s.id ORDER BY s.id))[:${NAMED}], '{}') AS "nodeIds"
      FROM (${ids}) AS s`);
  return row ?? { nodeCount: 0, nodeIds: [] };
}
