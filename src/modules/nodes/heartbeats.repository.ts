import { Injectable } from '@nestjs/common';
import { Database } from '../../common/database/database.js';
import { sql } from '../../common/database/sql.js';
import { readFingerprint } from './fingerprint.js';
import type { Heartbeat } from './heartbeats.schema.js';
import { CLONE_SUSPECTED } from './risky-state.js';

/** One node's heartbeat. */
export interface NodeHeartbeat extends Heartbeat {
  clusterId: string;
  nodeId: string;
}

/** What the node is told. */
export interface HeartbeatRow {
  clusterId: string;
  nodeId: string;
  serverTime: Date;
  heartbeatSeconds: number;
  snapshotGeneration: number;
  authorityTerm: number;
  authorityHolder: string;
  /** Whether the policy wants to know what contradicts this authority. */
  watchesPartitions: boolean;
  revocationEpoch: number;
  /** SHA-256 in hexadecimal; null before the cluster has certificate authorities. */
  trustBundle: string | null;
  /** The sign of a clone that is still to be written down, by this heartbeat or one before; see CLONE_SIGNS. */
  cloneSign: number | null;
  /** Whether what the heartbeat says of the node is newer than what is known; see `judgeBeat`. */
  isNews: boolean;
  /** What was taken in of a heartbeat before; see ReportMarks. */
  reportMark: number | null;
}

@Injectable()
export class HeartbeatsRepository {
  constructor(private readonly database: Database) {}

  /**
   * Writes many heartbeats, of as many nodes, in one statement and one commit. A node that is no unrevoked member is
   * not written and has no row in the answer. A heartbeat that is no news counts as a sign of life and changes nothing
   * else. The verdict on how it follows the last one is that of `judgeBeat`, made here since only the row that is
   * locked says for sure which one was the last.
   */
  write(beats: readonly NodeHeartbeat[]): Promise<HeartbeatRow[]> {
    const column = <T>(pick: (beat: NodeHeartbeat) => T) => beats.map(pick);
    return this.database.query<HeartbeatRow>(sql`
      WITH beat AS (
        SELECT * FROM unnest(${column((b) => b.clusterId)}::uuid[], ${column((b) => b.nodeId)}::uuid[],
          ${column((b) => b.agentVersion)}::text[], ${column((b) => b.sequence)}::bigint[],
          ${column((b) => b.agentInstanceId ?? null)}::uuid[], ${column((b) => b.uptimeSeconds ?? null)}::float8[],
          ${column((b) => single(b.load?.one))}::real[], ${column((b) => single(b.load?.five))}::real[],
          ${column((b) => single(b.load?.fifteen))}::real[], ${column((b) => b.memory?.totalBytes ?? null)}::bigint[],
          ${column((b) => b.memory?.usedBytes ?? null)}::bigint[], ${column((b) => b.appliedGeneration ?? null)}::bigint[],
          ${column((b) => b.authorityTermSeen ?? null)}::bigint[], ${column((b) => b.revocationEpochApplied ?? null)}::bigint[],
          ${column((b) => readFingerprint(b.trustBundleSeen))}::text[])
          AS t (cluster_id, node_id, agent_version, sequence, agent_instance_id, uptime_seconds, load_one, load_five,
                load_fifteen, memory_total_bytes, memory_used_bytes, applied_generation, authority_term_seen,
                revocation_epoch_applied, trust_bundle_seen)
      ), member AS (
        SELECT b.*, m.agent_version AS known_version,
               -- By a look for each: joined, the numbers of all members of the cluster might be read for some hundred.
               (SELECT g.generation_counter FROM node_generations AS g
                 WHERE g.cluster_id = b.cluster_id AND g.node_id = b.node_id) AS generation_counter
          FROM beat AS b JOIN cluster_memberships AS m ON m.cluster_id = b.cluster_id AND m.node_id = b.node_id
         WHERE m.membership_status <> 'revoked'
      ), written AS (
        INSERT INTO node_liveness AS l (cluster_id, node_id, last_seen_at, agent_instance_id, sequence, uptime_seconds,
               load_one, load_five, load_fifteen, memory_total_bytes, memory_used_bytes, applied_generation,
               authority_term_seen, revocation_epoch_applied, trust_bundle_seen)
        SELECT b.cluster_id, b.node_id, date_trunc('milliseconds', now()), b.agent_instance_id, b.sequence, b.uptime_seconds, b.load_one,
               b.load_five, b.load_fifteen, b.memory_total_bytes, b.memory_used_bytes, b.applied_generation,
               b.authority_term_seen, b.revocation_epoch_applied, decode(b.trust_bundle_seen, 'hex')
          FROM member AS b ORDER BY b.node_id, b.cluster_id
        ON CONFLICT (cluster_id, node_id) DO UPDATE SET
          last_seen_at = greatest(l.last_seen_at, excluded.last_seen_at),
          (agent_instance_id, sequence, previous_instance_id, previous_sequence, clone_sign, uptime_seconds, load_one,
           load_five, load_fifteen, memory_total_bytes, memory_used_bytes, applied_generation, authority_term_seen,
           revocation_epoch_applied, trust_bundle_seen) = (
            SELECT CASE WHEN v.moves THEN e.agent_instance_id ELSE l.agent_instance_id END,
                   CASE WHEN v.moves OR v.is_anonymous AND l.agent_instance_id IS NULL THEN e.sequence ELSE l.sequence END,
                   CASE WHEN v.changes_instance THEN l.agent_instance_id ELSE l.previous_instance_id END,
                   CASE WHEN v.changes_instance THEN l.sequence ELSE l.previous_sequence END,
                   CASE WHEN l.clone_sign IS NOT NULL THEN l.clone_sign
                        WHEN v.verdict NOT IN ('went_back', 'returned') THEN NULL
                        -- While the state is open there is nothing more to write down.
                        WHEN EXISTS (SELECT 1 FROM node_risky_states AS s
                                      WHERE s.cluster_id = l.cluster_id AND s.node_id = l.node_id
                                        AND s.kind = ${CLONE_SUSPECTED} AND s.acknowledged_at IS NULL) THEN NULL
                        WHEN v.verdict = 'went_back' THEN 1 ELSE 2 END,
                   CASE WHEN v.is_news THEN e.uptime_seconds ELSE l.uptime_seconds END,
                   CASE WHEN v.is_news THEN e.load_one ELSE l.load_one END,
                   CASE WHEN v.is_news THEN e.load_five ELSE l.load_five END,
                   CASE WHEN v.is_news THEN e.load_fifteen ELSE l.load_fifteen END,
                   CASE WHEN v.is_news THEN e.memory_total_bytes ELSE l.memory_total_bytes END,
                   CASE WHEN v.is_news THEN e.memory_used_bytes ELSE l.memory_used_bytes END,
                   CASE WHEN v.is_news THEN e.applied_generation ELSE l.applied_generation END,
                   CASE WHEN v.is_news THEN e.authority_term_seen ELSE l.authority_term_seen END,
                   CASE WHEN v.is_news THEN e.revocation_epoch_applied ELSE l.revocation_epoch_applied END,
                   CASE WHEN v.is_news THEN e.trust_bundle_seen ELSE l.trust_bundle_seen END
              FROM (SELECT excluded.*) AS e
             CROSS JOIN LATERAL (SELECT CASE
               WHEN e.agent_instance_id IS NULL THEN 'anonymous'
               WHEN e.agent_instance_id = l.agent_instance_id THEN
                 CASE WHEN e.sequence < l.sequence THEN 'went_back' WHEN e.sequence = l.sequence THEN 'repeated' ELSE 'next' END
               WHEN e.agent_instance_id = l.previous_instance_id THEN
                 CASE WHEN e.sequence < l.previous_sequence THEN 'went_back'
                      WHEN e.sequence = l.previous_sequence THEN 'echo' ELSE 'returned' END
               ELSE 'started' END AS verdict) AS w
             CROSS JOIN LATERAL (SELECT w.verdict, w.verdict = 'anonymous' AS is_anonymous,
               w.verdict NOT IN ('went_back', 'echo') AS is_news,
               w.verdict NOT IN ('went_back', 'echo', 'anonymous') AS moves,
               w.verdict IN ('started', 'returned') AND l.agent_instance_id IS NOT NULL AS changes_instance) AS v)
        RETURNING l.cluster_id, l.node_id, l.clone_sign, l.agent_instance_id, l.sequence
      ), acknowledged AS (
        -- Rows only for what grows; an epoch that the cluster has not reached is nobody's to apply.
        INSERT INTO revocation_acknowledgements (cluster_id, node_id, epoch, first_seen_at)
        SELECT b.cluster_id, b.node_id, b.revocation_epoch_applied, date_trunc('milliseconds', now())
          FROM member AS b
          JOIN clusters AS c ON c.id = b.cluster_id
          LEFT JOIN node_liveness AS l ON l.cluster_id = b.cluster_id AND l.node_id = b.node_id
         WHERE b.revocation_epoch_applied > coalesce(l.revocation_epoch_applied, 0)
           AND b.revocation_epoch_applied <= c.revocation_epoch
         ORDER BY b.node_id, b.cluster_id
        ON CONFLICT DO NOTHING
      ), versioned AS (
        UPDATE cluster_memberships AS m SET agent_version = b.agent_version
          FROM member AS b
         WHERE m.cluster_id = b.cluster_id AND m.node_id = b.node_id AND b.agent_version IS DISTINCT FROM b.known_version
      )
      SELECT b.cluster_id AS "clusterId", b.node_id AS "nodeId", date_trunc('milliseconds', now()) AS "serverTime",
             p.heartbeat_seconds AS "heartbeatSeconds", c.generation_base + b.generation_counter AS "snapshotGeneration",
             a.term AS "authorityTerm", a.holder AS "authorityHolder",
             coalesce((p.partition_detection ->> 'enabled')::boolean, false) AS "watchesPartitions",
             c.revocation_epoch AS "revocationEpoch",
             encode(c.trust_bundle_fingerprint, 'hex') AS "trustBundle", w.clone_sign AS "cloneSign",
             -- The row has become what the heartbeat says, unless that was no news.
             (b.agent_instance_id IS NULL OR
              b.agent_instance_id IS NOT DISTINCT FROM w.agent_instance_id AND b.sequence = w.sequence) AS "isNews",
             k.mark AS "reportMark"
        FROM member AS b
        JOIN written AS w ON w.cluster_id = b.cluster_id AND w.node_id = b.node_id
        JOIN clusters AS c ON c.id = b.cluster_id
        JOIN cluster_policies AS p ON p.cluster_id = b.cluster_id
        JOIN cluster_authorities AS a ON a.cluster_id = b.cluster_id
        LEFT JOIN node_report_marks AS k ON k.cluster_id = b.cluster_id AND k.node_id = b.node_id`);
  }
}

/** To single precision, as it is kept: Postgres refuses what is too small for that, and it is nothing then. */
function single(value: number | undefined): number | null {
  return value === undefined ? null : Math.fround(value);
}
