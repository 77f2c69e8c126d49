import { Injectable } from '@nestjs/common';
import type { ReadTx } from '../../common/transaction/tx.js';
import { ADMIN_INGRESS, adminIngressConditions } from './admin-ingress.js';
import { AdminIngressReadModel } from './admin-ingress.read-model.js';
import { ROLE_NAMES, type RoleName } from './role-catalogue.js';
import { coverageOf, type RoleCount, type RoleCoverage } from './role-coverage.js';
import { type CountedRoles, RoleCoverageRepository } from './role-coverage.repository.js';

/** How the roles of clusters are filled, for any number of clusters at once. */
@Injectable()
export class RoleCoverageReadModel {
  constructor(
    private readonly coverage: RoleCoverageRepository,
    private readonly ingress: AdminIngressReadModel,
  ) {}

  /** Every role of the catalogue, by name. */
  async ofCluster(tx: ReadTx, clusterId: string): Promise<RoleCoverage[]> {
    const counts = groupedByCluster(await this.counts(tx, [clusterId], 'all')).get(clusterId) ?? [];
    return ROLE_NAMES.map((role) => coverageOf(counts.find((count) => count.role === role) ?? nobody(role)));
  }

  /** One role. */
  async ofRole(tx: ReadTx, clusterId: string, role: RoleName): Promise<RoleCoverage> {
    const [count] = groupedByCluster(await this.counts(tx, [clusterId], { role })).get(clusterId) ?? [];
    return coverageOf(count ?? nobody(role));
  }

  /** The roles that are effective on fewer nodes than wanted, by name, by cluster; a cluster without any is not in it. */
  async gaps(tx: ReadTx, clusterIds: readonly string[]): Promise<Map<string, RoleCoverage[]>> {
    const counts = (await this.counts(tx, clusterIds, 'wanted')).map((count) => ({
      ...coverageOf(count),
      clusterId: count.clusterId,
    }));
    return groupedByCluster(counts.filter(({ gap }) => gap > 0));
  }

  private async counts(
    tx: ReadTx,
    clusterIds: readonly string[],
    which: CountedRoles,
  ): Promise<(RoleCount & { clusterId: string })[]> {
    const counts = await this.coverage.counts(tx, clusterIds, which);
    const held = counts.filter(({ role, effective }) => role === ADMIN_INGRESS && effective > 0);
    if (held.length === 0) return counts;
    const candidates = await this.ingress.candidates(
      tx,
      held.map(({ clusterId }) => clusterId),
    );
    const effective = candidates.filter((facts) =>
      adminIngressConditions(facts, tx.now).every(({ holds }) => holds),
    );
    return counts.map((count) => {
      if (count.role !== ADMIN_INGRESS) return count;
      const nodes = effective.filter(({ clusterId }) => clusterId === count.clusterId);
      return {
        ...count,
        effective: nodes.length,
        healthy: nodes.filter(({ health }) => health === 'online').length,
      };
    });
  }
}

function nobody(role: RoleName): RoleCount {
  return { role, minimum: 0, assigned: 0, effective: 0, healthy: 0 };
}

function groupedByCluster<T extends { clusterId: string }>(
  rows: readonly T[],
): Map<string, Omit<T, 'clusterId'>[]> {
  const groups = new Map<string, Omit<T, 'clusterId'>[]>();
  for (const { clusterId, ...row } of rows) groups.set(clusterId, [...(groups.get(clusterId) ?? []), row]);
  return groups;
}
