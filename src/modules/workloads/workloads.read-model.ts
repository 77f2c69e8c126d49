import { Injectable } from '@nestjs/common';
import type { Sql } from '../../common/database/sql.js';
import type { ReadTx } from '../../common/transaction/tx.js';
import { REPORTED_STATES, type ReportedState } from '../nodes/workload-report.schema.js';
import { WorkloadsRepository } from './workloads.repository.js';
import type { SnapshotWorkload } from './workloads.schema.js';

/** A cluster's workloads at a glance. */
export type WorkloadCounts = Record<ReportedState | 'outOfSync' | 'notDesired', number>;

/** What other modules ask about workloads. */
@Injectable()
export class WorkloadsReadModel {
  constructor(private readonly workloads: WorkloadsRepository) {}

  /** What is wanted of these nodes, by node id, in no order; a node of which nothing is wanted is not in the map. Which
   *  of it a node needs to know follows from its roles. */
  async forNodes(
    tx: ReadTx,
    clusterId: string,
    nodeIds: readonly string[] | 'all',
  ): Promise<Map<string, SnapshotWorkload[]>> {
    const wanted = new Map<string, SnapshotWorkload[]>();
    for (const { nodeId, serviceType, desired } of await this.workloads.desiredOf(tx, clusterId, nodeIds)) {
      const workload = { serviceType, ...desired };
      const known = wanted.get(nodeId);
      if (known === undefined) wanted.set(nodeId, [workload]);
      else known.push(workload);
    }
    return wanted;
  }

  /** What is reported, or else wanted, of the version of a service, by node id; null: nothing is known of it. Nodes that
   *  do not run the service are not in the map. */
  async versions(tx: ReadTx, clusterId: string, serviceType: string): Promise<Map<string, string | null>> {
    const rows = await this.workloads.versionsOf(tx, clusterId, serviceType);
    return new Map(rows.map(({ nodeId, version }) => [nodeId, version]));
  }

  /** What one node has reported of it, and when, as a table of one row or none for another statement: `version`, `at`. */
  reportedVersion(clusterId: string, serviceType: string, nodeId: Sql): Sql {
    return this.workloads.reportedVersionOf(clusterId, serviceType, nodeId);
  }

  /** What is wanted of unrevoked members, by what is reported of it, and what is not as it should be. */
  async count(tx: ReadTx, clusterId: string): Promise<WorkloadCounts> {
    const counts = Object.fromEntries(
      [...REPORTED_STATES, 'outOfSync', 'notDesired'].map((name) => [name, 0]),
    ) as WorkloadCounts;
    for (const row of await this.workloads.countByState(tx, clusterId)) {
      counts[row.reportedState] = row.desired;
      counts.outOfSync += row.outOfSync;
      counts.notDesired += row.notDesired;
    }
    return counts;
  }
}
