import { Injectable } from '@nestjs/common';
import { type Sql, sql } from '../../common/database/sql.js';
import { newId } from '../../common/ids/uuid.js';
import type { Tx } from '../../common/transaction/tx.js';
import type { LogTail } from './report-text.js';
import type { WorkloadKey } from './workload.js';
import type { KnownReport, Transition } from './workload-report.js';

type NodeKey = Omit<WorkloadKey, 'serviceType'>;

const keyRows = (keys: readonly WorkloadKey[]): Sql =>
  sql`jsonb_to_recordset(${JSON.stringify(keys)}::jsonb) AS k ("clusterId" uuid, "nodeId" uuid, "serviceType" text)`;
const IS_KEY = sql`w.cluster_id = k."clusterId" AND w.node_id = k."nodeId" AND w.service_type = k."serviceType"`;

/** What agents report. Writes no desired column. */
@Injectable()
export class WorkloadReportsRepository {
  /** All that is known of these nodes' workloads, locked until the transaction ends. */
  lockOf(tx: Tx, nodes: readonly NodeKey[]): Promise<KnownReport[]> {
    return tx.query<KnownReport>(sql`
      SELECT w.cluster_id AS "clusterId", w.node_id AS "nodeId", w.service_type AS "serviceType",
             w.desired_state IS NOT NULL AS "isDesired", w.service_instance_id AS "instanceId",
             w.reported_state AS "reportedState", w.reported_version AS "reportedVersion", w.health, w.message,
             w.reported_at AS "reportedAt", w.state_since AS "stateSince", w.instance_since AS "instanceSince",
             w.past_instance_ids AS "pastInstanceIds"
        FROM node_service_instances AS w
        JOIN unnest(${nodes.map(({ clusterId }) => clusterId)}::uuid[], ${nodes.map(({ nodeId }) => nodeId)}::uuid[])
          AS n (cluster_id, node_id) ON n.cluster_id = w.cluster_id AND n.node_id = w.node_id
       ORDER BY w.node_id, w.cluster_id, w.service_type FOR NO KEY UPDATE OF w`);
  }

  /** Writes what is reported; a workload that had no row is one that nobody wants. */
  async write(tx: Tx, reports: readonly KnownReport[]): Promise<void> {
    if (reports.length === 0) return;
    await tx.query(sql`
      INSERT INTO node_service_instances AS w (cluster_id, node_id, service_type, created_at, service_instance_id,
             reported_state, reported_version, health, message, reported_at, state_since, instance_since, past_instance_ids)
      SELECT r."clusterId", r."nodeId", r."serviceType", ${tx.now}, r."instanceId", r."reportedState",
             r."reportedVersion", r.health, r.message, r."reportedAt", r."stateSince", r."instanceSince", r."pastInstanceIds"
        FROM jsonb_to_recordset(${JSON.stringify(reports)}::jsonb) AS r ("clusterId" uuid, "nodeId" uuid,
             "serviceType" text, "instanceId" text, "reportedState" text, "reportedVersion" text, health text,
             message text, "reportedAt" timestamptz, "stateSince" timestamptz, "instanceSince" timestamptz,
             "pastInstanceIds" text[])
       ORDER BY r."nodeId", r."clusterId", r."serviceType"
      ON CONFLICT (cluster_id, node_id, service_type) DO UPDATE SET
        service_instance_id = excluded.service_instance_id, reported_state = excluded.reported_state,
        reported_version = excluded.reported_version, health = excluded.health, message = excluded.message,
        reported_at = excluded.reported_at, state_since = excluded.state_since,
        instance_since = excluded.instance_since, past_instance_ids = excluded.past_instance_ids`);
  }

  /** Of these workloads, which somebody wants, nothing is known any more. */
  async silence(tx: Tx, keys: readonly WorkloadKey[], since: Date): Promise<void> {
    if (keys.length === 0) return;
    await tx.query(sql`
      UPDATE node_service_instances AS w
         SET service_instance_id = NULL, reported_state = 'unknown', reported_version = NULL, health = NULL,
             message = NULL, reported_at = NULL, state_since = ${since}
        FROM ${keyRows(keys)} WHERE ${IS_KEY}`);
  }

  /** Removes workloads that are neither wanted nor reported, with their logs. */
  async remove(tx: Tx, keys: readonly WorkloadKey[]): Promise<void> {
    if (keys.length === 0) return;
    await tx.query(sql`
      DELETE FROM node_service_instances AS w
       USING ${keyRows(keys)} WHERE ${IS_KEY} AND w.desired_state IS NULL`);
  }

  /** Adds to the history. */
  async addTransitions(tx: Tx, transitions: readonly Transition[]): Promise<void> {
    if (transitions.length === 0) return;
    const rows = transitions.map((each) => ({ id: newId(), ...each }));
    await tx.query(sql`
      INSERT INTO node_service_transitions (id, cluster_id, node_id, service_type, occurred_at, service_instance_id,
             previous_state, reported_state, reported_version, previous_health, health, message)
      SELECT t.id, t."clusterId", t."nodeId", t."serviceType", t."occurredAt", t."instanceId", t."previousState",
             t."reportedState", t."reportedVersion", t."previousHealth", t.health, t.message
        FROM jsonb_to_recordset(${JSON.stringify(rows)}::jsonb) AS t (id uuid, "clusterId" uuid, "nodeId" uuid,
             "serviceType" text, "occurredAt" timestamptz, "instanceId" text, "previousState" text,
             "reportedState" text, "reportedVersion" text, "previousHealth" text, health text, message text)`);
  }

  /** Keeps the latest tail of a workload's log. */
  async writeLog(
    tx: Tx,
    key: WorkloadKey,
    instanceId: string,
    { tail, isTruncated }: LogTail,
  ): Promise<void> {
    await tx.query(sql`
      INSERT INTO node_service_logs AS l (cluster_id, node_id, service_type, service_instance_id, tail, is_truncated, reported_at)
      VALUES (${key.clusterId}::uuid, ${key.nodeId}::uuid, ${key.serviceType}, ${instanceId}, ${tail}, ${isTruncated}, ${tx.now})
      ON CONFLICT (cluster_id, node_id, service_type) DO UPDATE SET
        service_instance_id = excluded.service_instance_id, tail = excluded.tail,
        is_truncated = excluded.is_truncated, reported_at = excluded.reported_at`);
  }
}
