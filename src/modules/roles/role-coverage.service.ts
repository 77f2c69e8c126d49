import { Injectable } from '@nestjs/common';
import type { z } from 'zod';
import { notFound } from '../../common/errors/domain-error.js';
import { type Page, Paging } from '../../common/http/paging.js';
import type { Actor } from '../../common/request/actor.js';
import { Transactor } from '../../common/transaction/transactor.js';
import type { ReadTx } from '../../common/transaction/tx.js';
import { isRoleName } from './role-catalogue.js';
import { type RoleCoverage, roleMinimumSet } from './role-coverage.js';
import { RoleCoverageReadModel } from './role-coverage.read-model.js';
import { RoleCoverageRepository } from './role-coverage.repository.js';
import { type RoleCoverageQuery, type RoleCoverageView, roleCoverageEtag } from './role-coverage.schema.js';

/** How many nodes a cluster wants in each role, and how many it has. */
@Injectable()
export class RoleCoverageService {
  constructor(
    private readonly transactor: Transactor,
    private readonly coverage: RoleCoverageReadModel,
    private readonly minimums: RoleCoverageRepository,
    private readonly paging: Paging,
  ) {}

  /** @throws not_found for a role that there is not */
  get(clusterId: string, role: string): Promise<RoleCoverageView> {
    return this.transactor.read((tx) => this.show(tx, clusterId, role));
  }

  /** By role. */
  list(
    clusterId: string,
    { limit, cursor }: z.infer<typeof RoleCoverageQuery>,
  ): Promise<Page<RoleCoverageView>> {
    const list = { kind: 'role_coverage', filters: { clusterId }, limit, cursor };
    const after = this.paging.after(list)?.[0];
    return this.transactor.read(async (tx) => {
      const all = await this.all(tx, clusterId);
      const rows = all.filter(({ role }) => after === undefined || role > String(after)).slice(0, limit + 1);
      return this.paging.page(
        list,
        rows,
        ({ role }) => [role],
        (row) => row,
      );
    });
  }

  /** Says how many nodes are wanted, whether or not the cluster has them. @throws not_found; stale */
  put(
    actor: Actor,
    clusterId: string,
    role: string,
    minimum: number,
  ): Promise<{ coverage: RoleCoverageView; isNew: boolean }> {
    return this.transactor.mutate(actor, async (tx) => {
      if (!isRoleName(role)) throw noSuchRole();
      const before = await this.minimums.claim(tx, clusterId, role);
      tx.requireMatch(roleCoverageEtag(await this.show(tx, clusterId, role)));
      const isNew = before === null;
      if (before === minimum)
        return { result: { coverage: await this.show(tx, clusterId, role), isNew }, unchanged: true };
      await this.minimums.set(tx, clusterId, role, minimum);
      const coverage = await this.show(tx, clusterId, role);
      return { result: { coverage, isNew }, events: [roleMinimumSet(clusterId, role, before, minimum)] };
    });
  }

  private async show(tx: ReadTx, clusterId: string, role: string): Promise<RoleCoverage> {
    const coverage = (await this.all(tx, clusterId)).find((each) => each.role === role);
    if (coverage === undefined) throw noSuchRole();
    return coverage;
  }

  private async all(tx: ReadTx, clusterId: string): Promise<RoleCoverage[]> {
    return (await this.coverage.byCluster(tx, [clusterId])).get(clusterId) ?? [];
  }
}

function noSuchRole() {
  return notFound('not_found', 'The catalogue has no such role.');
}
