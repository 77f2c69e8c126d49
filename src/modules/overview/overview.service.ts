import { Injectable } from '@nestjs/common';
import type { z } from 'zod';
import type { CursorValues } from '../../common/http/cursor.js';
import { type Page, Paging } from '../../common/http/paging.js';
import { Transactor } from '../../common/transaction/transactor.js';
import type { ReadTx } from '../../common/transaction/tx.js';
import { type AuthorityRisk, AuthorityRisks } from '../authority/authority-risks.js';
import type { ClusterQuery, ClusterView } from '../clusters/clusters.schema.js';
import { ClustersService } from '../clusters/clusters.service.js';
import { EnrollmentReadModel } from '../enrollment/enrollment.read-model.js';
import { type Fleet, FleetsReadModel, type RiskyMember } from '../nodes/fleets.read-model.js';
import { severityOf } from '../nodes/risky-state.js';
import { RoleCoverageReadModel } from '../roles/role-coverage.read-model.js';
import { UpdatesReadModel } from '../rollouts/updates.read-model.js';
import { VpnReadModel } from '../vpn/vpn.read-model.js';
import { WorkloadsReadModel } from '../workloads/workloads.read-model.js';
import type { ClusterOverview, ClusterSummary, RiskyState, RiskyStateQuery } from './overview.schema.js';

/** Risky states that a summary shows. */
const SHOWN = 20;

/** Reads all modules below for the screens that show everything at once; imported by none. */
@Injectable()
export class OverviewService {
  constructor(
    private readonly transactor: Transactor,
    private readonly authorities: AuthorityRisks,
    private readonly clusters: ClustersService,
    private readonly fleets: FleetsReadModel,
    private readonly enrollment: EnrollmentReadModel,
    private readonly coverage: RoleCoverageReadModel,
    private readonly workloads: WorkloadsReadModel,
    private readonly connections: VpnReadModel,
    private readonly updates: UpdatesReadModel,
    private readonly paging: Paging,
  ) {}

  /** Every cluster at a glance, newest first. However many a page shows, it takes the same few statements. */
  overview(query: z.infer<typeof ClusterQuery>): Promise<Page<ClusterOverview>> {
    return this.transactor.read(async (tx) => {
      const { items, nextCursor } = await this.clusters.page(tx, 'overview', null, query);
      const ids = items.map(({ id }) => id);
      const fleets = await this.fleets.byCluster(tx, ids);
      const pending = await this.enrollment.countPending(tx, ids);
      const gaps = await this.coverage.gaps(tx, ids);
      const risks = await this.authorities.byCluster(tx, ids);
      return {
        items: items.map((cluster) => ({
          ...atAGlance(cluster, fleetOf(fleets, cluster.id), risks.get(cluster.id) ?? []),
          joinRequests: { pending: pending.get(cluster.id) ?? 0 },
          roleGaps: gaps.get(cluster.id) ?? [],
        })),
        nextCursor,
      };
    });
  }

  /** A cluster at a glance, all of it at one instant. */
  summary(clusterId: string): Promise<ClusterSummary> {
    return this.transactor.read(async (tx) => {
      const fleets = await this.fleets.byCluster(tx, [clusterId]);
      const pending = await this.enrollment.countPending(tx, [clusterId]);
      const risks = await this.risks(tx, clusterId, { limit: SHOWN });
      return {
        nodes: fleetOf(fleets, clusterId).health,
        joinRequests: { pending: pending.get(clusterId) ?? 0 },
        roleGaps: (await this.coverage.gaps(tx, [clusterId])).get(clusterId) ?? [],
        workloads: await this.workloads.count(tx, clusterId),
        leases: { ...(await this.connections.count(tx, clusterId)) },
        rollouts: await this.updates.count(tx, clusterId),
        riskyStates: risks.slice(0, SHOWN),
      };
    });
  }

  /** What works now and should not be left so: that of the cluster by kind, then that of its nodes by id and kind. */
  riskyStates(
    clusterId: string,
    { limit, cursor, kind }: z.infer<typeof RiskyStateQuery>,
  ): Promise<Page<RiskyState>> {
    const list = { kind: 'risky_states', filters: { clusterId, kind }, limit, cursor };
    const after = this.paging.after(list);
    return this.transactor.read(async (tx) => {
      const rows = await this.risks(tx, clusterId, { kind, after, limit });
      const keyOf = ({ resource, kind }: RiskyState) => [resource.type === 'node' ? resource.id : null, kind];
      return this.paging.page(list, rows, keyOf, (row) => row);
    });
  }

  /** One more than `limit`. @param after a node id and a kind; without a node id, a kind of the cluster's own */
  private async risks(
    tx: ReadTx,
    clusterId: string,
    { kind, after = null, limit }: { kind?: string | undefined; after?: CursorValues | null; limit: number },
  ): Promise<RiskyState[]> {
    const isAmongNodes = after !== null && after[0] !== null;
    const ofCluster = isAmongNodes
      ? []
      : ((await this.authorities.byCluster(tx, [clusterId])).get(clusterId) ?? [])
          .filter((risk) => kind === undefined || risk.kind === kind)
          .filter((risk) => after === null || risk.kind > String(after[1]));
    const ofNodes = await this.fleets.riskyMembers(tx, clusterId, kind, isAmongNodes ? after : null, limit);
    return [...ofCluster.map((risk) => clusterRisk(clusterId, risk)), ...ofNodes.map(nodeRisk)].slice(
      0,
      limit + 1,
    );
  }
}

function atAGlance(
  { id, name, slug, status, region, authority }: ClusterView,
  { members, health: nodes, capacity, risks }: Fleet,
  ofCluster: readonly AuthorityRisk[],
): Omit<ClusterOverview, 'joinRequests' | 'roleGaps'> {
  const ofNodes = Object.entries(risks).map(([kind, count]) => ({ kind, severity: severityOf(kind), count }));
  const riskyStates = [
    ...ofCluster.map(({ kind, severity }) => ({ kind, severity, count: 1 })),
    ...ofNodes,
  ].sort((one, other) => one.severity.localeCompare(other.severity) || one.kind.localeCompare(other.kind));
  return { cluster: { id, name, slug, status, region }, authority, members, nodes, capacity, riskyStates };
}

function fleetOf(fleets: ReadonlyMap<string, Fleet>, clusterId: string): Fleet {
  const fleet = fleets.get(clusterId);
  if (fleet === undefined) throw new Error(`the fleet of cluster ${clusterId} was not read`);
  return fleet;
}

function clusterRisk(clusterId: string, { kind, since, severity }: AuthorityRisk): RiskyState {
  return {
    kind,
    resource: { type: 'cluster', id: clusterId, name: null },
    since: since.toISOString(),
    severity,
    acknowledgedBy: null,
  };
}

function nodeRisk({ nodeId, name, kind, since }: RiskyMember): RiskyState {
  return {
    kind,
    resource: { type: 'node', id: nodeId, name },
    since: since?.toISOString() ?? null,
    severity: severityOf(kind),
    acknowledgedBy: null,
  };
}
