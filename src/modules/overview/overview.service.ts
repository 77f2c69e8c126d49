import { Injectable } from '@nestjs/common';
import type { Page } from '../../common/http/paging.js';
import { Transactor } from '../../common/transaction/transactor.js';
import type { ReadTx } from '../../common/transaction/tx.js';
import { AuthorityRisks } from '../authority/authority-risks.js';
import { EnrollmentReadModel } from '../enrollment/enrollment.read-model.js';
import { NodesReadModel } from '../nodes/nodes.read-model.js';
import { severityOf } from '../nodes/risky-state.js';
import { RoleCoverageReadModel } from '../roles/role-coverage.read-model.js';
import { WorkloadsReadModel } from '../workloads/workloads.read-model.js';
import type { ClusterSummary, RiskyState } from './overview.schema.js';

/** Risky states that a summary shows, and the most that a list reads. */
const SHOWN = 20;
const LISTED = 1_000;

/** Reads all modules below for the screens that show everything at once; imported by none. */
@Injectable()
export class OverviewService {
  constructor(
    private readonly transactor: Transactor,
    private readonly authorities: AuthorityRisks,
    private readonly nodes: NodesReadModel,
    private readonly enrollment: EnrollmentReadModel,
    private readonly coverage: RoleCoverageReadModel,
    private readonly workloads: WorkloadsReadModel,
  ) {}

  /** A cluster at a glance, all of it at one instant. */
  summary(clusterId: string): Promise<ClusterSummary> {
    return this.transactor.read(async (tx) => ({
      nodes: await this.nodes.countByHealth(tx, clusterId),
      joinRequests: { pending: await this.enrollment.countPending(tx, clusterId) },
      roleGaps: (await this.coverage.gaps(tx, [clusterId])).get(clusterId) ?? [],
      workloads: await this.workloads.count(tx, clusterId),
      leases: {},
      rollouts: {},
      riskyStates: (await this.risks(tx, clusterId, SHOWN)).slice(0, SHOWN),
    }));
  }

  /** What works now and should not be left so. */
  riskyStates(clusterId: string): Promise<Page<RiskyState>> {
    return this.transactor.read(async (tx) => ({
      items: await this.risks(tx, clusterId, LISTED),
      nextCursor: null,
    }));
  }

  private async risks(tx: ReadTx, clusterId: string, limit: number): Promise<RiskyState[]> {
    const authority = await this.authorities.list(tx, clusterId);
    const ofCluster = authority.map(({ kind, since, severity }) => ({
      kind,
      resource: { type: 'cluster', id: clusterId, name: null },
      since: since.toISOString(),
      severity,
      acknowledgedBy: null,
    }));
    const nodes = await this.nodes.riskyNodes(tx, clusterId, limit);
    const ofNodes = nodes.flatMap(({ nodeId, name, kinds, since }) =>
      kinds.map((kind) => ({
        kind,
        resource: { type: 'node', id: nodeId, name },
        since: since[kind] === undefined ? null : new Date(since[kind]).toISOString(),
        severity: severityOf(kind),
        acknowledgedBy: null,
      })),
    );
    return [...ofCluster, ...ofNodes];
  }
}
