import { Injectable } from '@nestjs/common';
import type { z } from 'zod';
import { notFound } from '../../common/errors/domain-error.js';
import { type Page, Paging } from '../../common/http/paging.js';
import type { Actor } from '../../common/request/actor.js';
import { Transactor } from '../../common/transaction/transactor.js';
import { isRoleName } from './role-catalogue.js';
import { coverageOf, roleMinimumSet } from './role-coverage.js';
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
    return this.transactor.read((tx) => {
      if (!isRoleName(role)) throw noSuchRole();
      return this.coverage.ofRole(tx, clusterId, role);
    });
  }

  /** By role. */
  list(
    clusterId: string,
    { limit, cursor }: z.infer<typeof RoleCoverageQuery>,
  ): Promise<Page<RoleCoverageView>> {
    const list = { kind: 'role_coverage', filters: { clusterId }, limit, cursor };
    const after = this.paging.after(list)?.[0];
    return this.transactor.read(async (tx) => {
      const all = await this.coverage.ofCluster(tx, clusterId);
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
      const known = await this.coverage.ofRole(tx, clusterId, role);
      tx.requireMatch(roleCoverageEtag(known));
      const isNew = before === null;
      if (before === minimum) return { result: { coverage: known, isNew }, unchanged: true };
      await this.minimums.set(tx, clusterId, role, minimum);
      // What is wanted of a role changes nothing of what there is of it.
      const coverage = coverageOf({ ...known, minimum });
      return { result: { coverage, isNew }, events: [roleMinimumSet(clusterId, role, before, minimum)] };
    });
  }
}

function noSuchRole() {
  return notFound('not_found', 'The catalogue has no such role.');
}
