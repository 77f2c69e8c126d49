import { Injectable } from '@nestjs/common';
import { join, type Sql, sql } from '../../common/database/sql.js';
import type { CursorValues } from '../../common/http/cursor.js';
import type { ReadTx, Tx } from '../../common/transaction/tx.js';
import type { ReportedState } from '../nodes/workload-report.schema.js';
import type { DesiredWorkload, Workload, WorkloadKey } from './workload.js';

/** Which workloads a list shows. */
export interface WorkloadFilter {
  nodeId?: string | undefined;
  serviceType?: string | undefined;
  reportedState?: ReportedState | undefined;
  inSync?: boolean | undefined;
}

const DESIRED = sql`CASE WHEN w.desired_state IS NOT NULL THEN jsonb_build_object('desiredState', w.desired_state,
  'runtime', w.runtime, 'version', w.version, 'config', w.config, 'secretRefs', w.secret_refs,
  'healthCheck', w.health_check, 'restartPolicy', w.restart_policy, 'whenControlPlaneLost', w.when_control_plane_lost,
  'privileged', w.privileged) END`;

const COLUMNS = sql`w.cluster_id AS "clusterId", w.node_id AS "nodeId", m.name AS "nodeName",
  w.service_type AS "serviceType", w.created_at AS "createdAt", ${DESIRED} AS desired,
  CASE WHEN w.privileged THEN jsonb_build_object('at', w.privileged_approved_at,
    'by', jsonb_build_object('type', w.privileged_approved_by_type, 'id', w.privileged_approved_by_id)) END AS approval,
  w.desired_at AS "desiredAt", CASE WHEN w.desired_at IS NOT NULL THEN
    jsonb_build_object('type', w.desired_by_type, 'id', w.desired_by_id) END AS "desiredBy",
  w.service_instance_id AS "instanceId", w.reported_state AS "reportedState", w.reported_version AS "reportedVersion",
  w.health, w.message, w.reported_at AS "reportedAt", w.state_since AS "stateSince"`;

const TABLES = sql`node_service_instances AS w
  JOIN cluster_memberships AS m ON m.cluster_id = w.cluster_id AND m.node_id = w.node_id`;

/** What operators want, and both sides for who reads. Writes no observed column. */
@Injectable()
export class WorkloadsRepository {
  async find(tx: ReadTx, { clusterId, nodeId, serviceType }: WorkloadKey): Promise<Workload | null> {
    const [row] = await tx.query<Workload>(sql`
      SELECT ${COLUMNS} FROM ${TABLES}
       WHERE w.cluster_id = ${clusterId}::uuid AND w.node_id = ${nodeId}::uuid AND w.service_type = ${serviceType}`);
    return row ?? null;
  }

  /** Sets what is desired; what the agent reports stays as it is. */
  async put(
    tx: Tx,
    { clusterId, nodeId, serviceType }: WorkloadKey,
    desired: DesiredWorkload,
  ): Promise<void> {
    const { type, id } = tx.actor;
    const by = id ?? type;
    const [at, byType, byId] = desired.privileged ? [tx.now, type, by] : [null, null, null];
    await tx.query(sql`
      INSERT INTO node_service_instances AS w (cluster_id, node_id, service_type, created_at, desired_state, runtime,
             version, config, secret_refs, health_check, restart_policy, when_control_plane_lost, privileged,
             privileged_approved_at, privileged_approved_by_type, privileged_approved_by_id, desired_at,
             desired_by_type, desired_by_id)
      VALUES (${clusterId}::uuid, ${nodeId}::uuid, ${serviceType}, ${tx.now}, ${desired.desiredState},
              ${desired.runtime}, ${desired.version}, ${JSON.stringify(desired.config)}::jsonb,
              ${JSON.stringify(desired.secretRefs)}::jsonb,
              ${desired.healthCheck === null ? null : JSON.stringify(desired.healthCheck)}::jsonb,
              ${JSON.stringify(desired.restartPolicy)}::jsonb, ${desired.whenControlPlaneLost}, ${desired.privileged},
              ${at}::timestamptz, ${byType}, ${byId}, ${tx.now}, ${type}, ${by})
      ON CONFLICT (cluster_id, node_id, service_type) DO UPDATE SET
        desired_state = excluded.desired_state, runtime = excluded.runtime, version = excluded.version,
        config = excluded.config, secret_refs = excluded.secret_refs, health_check = excluded.health_check,
        restart_policy = excluded.restart_policy, when_control_plane_lost = excluded.when_control_plane_lost,
        privileged = excluded.privileged, privileged_approved_at = excluded.privileged_approved_at,
        privileged_approved_by_type = excluded.privileged_approved_by_type,
        privileged_approved_by_id = excluded.privileged_approved_by_id, desired_at = excluded.desired_at,
        desired_by_type = excluded.desired_by_type, desired_by_id = excluded.desired_by_id`);
  }

  /** Nobody wants it any more. The row goes, unless the agent reports the workload: it is shown as long as it does. */
  async withdraw(tx: Tx, { clusterId, nodeId, serviceType }: WorkloadKey): Promise<void> {
    const it = sql`w.cluster_id = ${clusterId}::uuid AND w.node_id = ${nodeId}::uuid AND w.service_type = ${serviceType}`;
    // A report that comes between the two finds no row and makes one of its own.
    await tx.query(sql`DELETE FROM node_service_instances AS w WHERE ${it} AND w.reported_at IS NULL`);
    await tx.query(sql`
      UPDATE node_service_instances AS w
         SET desired_state = NULL, runtime = NULL, version = NULL, config = NULL, secret_refs = NULL,
             health_check = NULL, restart_policy = NULL, when_control_plane_lost = NULL, privileged = NULL,
             privileged_approved_at = NULL, privileged_approved_by_type = NULL, privileged_approved_by_id = NULL,
             desired_at = NULL, desired_by_type = NULL, desired_by_id = NULL
       WHERE ${it} AND w.desired_state IS NOT NULL`);
  }

  /** Newest first; one more than `limit`. Those of revoked members only where the node is named. */
  list(
    tx: ReadTx,
    clusterId: string,
    { nodeId, serviceType, reportedState, inSync }: WorkloadFilter,
    after: CursorValues | null,
    limit: number,
  ): Promise<Workload[]> {
    const conditions: Sql[] = [sql`w.cluster_id = ${clusterId}::uuid`];
    if (nodeId === undefined) conditions.push(sql`m.membership_status <> 'revoked'`);
    else conditions.push(sql`w.node_id = ${nodeId}::uuid`);
    if (serviceType !== undefined) conditions.push(sql`w.service_type = ${serviceType}`);
    if (reportedState !== undefined) conditions.push(sql`w.reported_state = ${reportedState}`);
    if (inSync !== undefined) conditions.push(sql`w.in_sync = ${inSync}`);
    if (after !== null) {
      conditions.push(sql`(w.created_at, w.node_id, w.service_type)
        < (${after[0]}::timestamptz, ${after[1]}::uuid, ${after[2]}::text)`);
    }
    return tx.query<Workload>(sql`
      SELECT ${COLUMNS} FROM ${TABLES} WHERE ${join(conditions, ' AND ')}
       ORDER BY w.created_at DESC, w.node_id DESC, w.service_type DESC LIMIT ${limit + 1}`);
  }

  /** What is wanted of these nodes. */
  desiredOf(
    tx: ReadTx,
    clusterId: string,
    nodeIds: readonly string[] | 'all',
  ): Promise<{ nodeId: string; serviceType: string; desired: DesiredWorkload }[]> {
    const which = nodeIds === 'all' ? sql`true` : sql`w.node_id = ANY(${nodeIds}::uuid[])`;
    return tx.query(sql`
      SELECT w.node_id AS "nodeId", w.service_type AS "serviceType", ${DESIRED} AS desired
        FROM node_service_instances AS w
       WHERE w.cluster_id = ${clusterId}::uuid AND ${which} AND w.desired_state IS NOT NULL`);
  }

  /** Workloads of unrevoked members by what is reported. */
  countByState(
    tx: ReadTx,
    clusterId: string,
  ): Promise<{ reportedState: ReportedState; desired: number; outOfSync: number; notDesired: number }[]> {
    return tx.query(sql`
      SELECT w.reported_state AS "reportedState",
             count(*) FILTER (WHERE w.desired_state IS NOT NULL)::int AS desired,
             count(*) FILTER (WHERE w.desired_state IS NOT NULL AND NOT w.in_sync)::int AS "outOfSync",
             count(*) FILTER (WHERE w.desired_state IS NULL)::int AS "notDesired"
        FROM ${TABLES}
       WHERE w.cluster_id = ${clusterId}::uuid AND m.membership_status <> 'revoked' GROUP BY 1`);
  }

  /** The version of a service on each node that runs it: the reported one, else the wanted one. */
  versionsOf(
    tx: ReadTx,
    clusterId: string,
    serviceType: string,
  ): Promise<{ nodeId: string; version: string | null }[]> {
    return tx.query(sql`
      SELECT i.node_id AS "nodeId", coalesce(i.reported_version, i.version) AS version FROM node_service_instances AS i
       WHERE i.cluster_id = ${clusterId}::uuid AND i.service_type = ${serviceType}`);
  }

  /** What one node has reported of it, for another statement. */
  reportedVersionOf(clusterId: string, serviceType: string, nodeId: Sql): Sql {
    return sql`(
      SELECT i.reported_version AS version, i.reported_at AS at FROM node_service_instances AS i
       WHERE i.cluster_id = ${clusterId}::uuid AND i.service_type = ${serviceType} AND i.node_id = ${nodeId})`;
  }
}
