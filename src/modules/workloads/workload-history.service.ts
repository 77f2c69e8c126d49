import { Injectable } from '@nestjs/common';
import type { z } from 'zod';
import { sql } from '../../common/database/sql.js';
import { notFound } from '../../common/errors/domain-error.js';
import { type Page, Paging } from '../../common/http/paging.js';
import { Transactor } from '../../common/transaction/transactor.js';
import { MembershipsReadModel } from '../nodes/memberships.read-model.js';
import type { WorkloadKey } from './workload.js';
import type { Transition } from './workload-report.js';
import type {
  WorkloadLogView,
  WorkloadTransitionQuery,
  WorkloadTransitionView,
} from './workload-reports.schema.js';

type TransitionRow = Omit<Transition, keyof WorkloadKey> & { id: string };

interface LogRow {
  instanceId: string;
  tail: string;
  truncated: boolean;
  reportedAt: Date;
}

/** What agents have reported of a workload: its history, and what it wrote last. */
@Injectable()
export class WorkloadHistoryService {
  constructor(
    private readonly transactor: Transactor,
    private readonly members: MembershipsReadModel,
    private readonly paging: Paging,
  ) {}

  /** Changes of what was reported, newest first; also of a workload that is gone. @throws not_found for an unknown node */
  history(
    { clusterId, nodeId, serviceType }: WorkloadKey,
    { limit, cursor }: z.infer<typeof WorkloadTransitionQuery>,
  ): Promise<Page<WorkloadTransitionView>> {
    const list = { kind: 'workload_history', filters: { clusterId, nodeId, serviceType }, limit, cursor };
    const after = this.paging.after(list);
    return this.transactor.read(async (tx) => {
      const [member] = await this.members.forSnapshots(tx, clusterId, [nodeId]);
      if (member === undefined) throw notFound('not_found', 'The cluster has no such node.');
      const behind =
        after === null
          ? sql`true`
          : sql`(t.occurred_at, t.id) < (${after[0]}::timestamptz, ${after[1]}::uuid)`;
      const rows = await tx.query<TransitionRow>(sql`
        SELECT t.id, t.occurred_at AS "occurredAt", t.service_instance_id AS "instanceId",
               t.previous_state AS "previousState", t.reported_state AS "reportedState",
               t.reported_version AS "reportedVersion", t.previous_health AS "previousHealth", t.health, t.message
          FROM node_service_transitions AS t
         WHERE t.cluster_id = ${clusterId}::uuid AND t.node_id = ${nodeId}::uuid AND t.service_type = ${serviceType}
           AND ${behind}
         ORDER BY t.occurred_at DESC, t.id DESC LIMIT ${limit + 1}`);
      const keyOf = ({ occurredAt, id }: TransitionRow) => [occurredAt.toISOString(), id];
      return this.paging.page(list, rows, keyOf, (row) => ({
        ...row,
        occurredAt: row.occurredAt.toISOString(),
      }));
    });
  }

  /** The tail of its log as last reported. @throws not_found when none was */
  logs({ clusterId, nodeId, serviceType }: WorkloadKey): Promise<WorkloadLogView> {
    return this.transactor.read(async (tx) => {
      const [row] = await tx.query<LogRow>(sql`
        SELECT l.service_instance_id AS "instanceId", l.tail, l.is_truncated AS truncated, l.reported_at AS "reportedAt"
          FROM node_service_logs AS l
         WHERE l.cluster_id = ${clusterId}::uuid AND l.node_id = ${nodeId}::uuid AND l.service_type = ${serviceType}`);
      if (row === undefined) throw notFound('not_found', 'No log of such a workload has been reported.');
      return { serviceType, ...row, reportedAt: row.reportedAt.toISOString() };
    });
  }
}
