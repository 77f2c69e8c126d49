import { Injectable } from '@nestjs/common';
import type { z } from 'zod';
import type { NodePrincipal } from '../../common/auth/principal.js';
import { conflict } from '../../common/errors/domain-error.js';
import { type Page, Paging } from '../../common/http/paging.js';
import type { Actor } from '../../common/request/actor.js';
import { Transactor } from '../../common/transaction/transactor.js';
import type { ReadTx } from '../../common/transaction/tx.js';
import { MembershipsService } from '../nodes/memberships.service.js';
import type { NamedArtifact } from '../releases/assigned-artifacts.js';
import { ineffectiveReason } from '../roles/role-assignment.js';
import { RoleBearers } from '../roles/role-bearers.js';
import { RolesReadModel } from '../roles/roles.read-model.js';
import { cacheMoved, type UpdateCache } from './update-cache.js';
import { UpdateCacheEvents } from './update-cache-events.js';
import { CACHE_ROLE, UpdateCachesReadModel } from './update-caches.read-model.js';
import { UpdateCachesRepository } from './update-caches.repository.js';
import type { ReportUpdateCache, UpdateCacheQuery, UpdateCacheView } from './update-caches.schema.js';

/** What caches say of themselves. */
@Injectable()
export class UpdateCachesService {
  constructor(
    private readonly transactor: Transactor,
    private readonly caches: UpdateCachesRepository,
    private readonly reading: UpdateCachesReadModel,
    private readonly events: UpdateCacheEvents,
    private readonly members: MembershipsService,
    private readonly roles: RolesReadModel,
    private readonly bearers: RoleBearers,
    private readonly paging: Paging,
  ) {}

  /** Takes in where a node serves and what it holds. Only the place concerns others. @throws conflict `role_required` */
  report(actor: Actor, node: NodePrincipal, report: ReportUpdateCache): Promise<UpdateCacheView> {
    const { clusterId, nodeId } = node;
    return this.transactor.observe(actor, async (tx) => {
      await this.members.hold(tx, clusterId, [nodeId], 'as_they_are');
      const now = await tx.clock(); // after the lock: the role may have ended while we waited
      if (report.url !== null && !(await this.mayServe(tx, node, now))) throw roleRequired();
      const known = await this.caches.find(tx, clusterId, nodeId);
      const isMoving = (known?.url ?? null) !== report.url;
      if (isMoving) this.events.placesChanged(tx, clusterId);
      const cache: UpdateCache = { clusterId, nodeId, ...report, reportedAt: now };
      await this.caches.write(tx, cache);
      const told = await this.reading.told(tx, clusterId);
      return {
        result: view(cache, told),
        events: isMoving ? [cacheMoved(cache, known?.url ?? null, cache.url)] : [],
      };
    });
  }

  /** What a node may have for others: all that is to be mirrored while its role lets it, and else nothing. */
  async artifactsFor(tx: ReadTx, node: NodePrincipal): Promise<NamedArtifact[]> {
    return (await this.mayServe(tx, node, tx.now)) ? this.reading.artifacts(tx, node.clusterId) : [];
  }

  /** In the order of their node ids. */
  list(
    clusterId: string,
    { limit, cursor }: z.infer<typeof UpdateCacheQuery>,
  ): Promise<Page<UpdateCacheView>> {
    const list = { kind: 'update_caches', filters: { clusterId }, limit, cursor };
    return this.transactor.read(async (tx) => {
      const rows = await this.caches.list(tx, clusterId, this.paging.after(list), limit);
      const told = await this.reading.told(tx, clusterId);
      return this.paging.page(
        list,
        rows,
        ({ nodeId }) => [nodeId],
        (row) => view(row, told),
      );
    });
  }

  private async mayServe(tx: ReadTx, { clusterId, nodeId }: NodePrincipal, now: Date): Promise<boolean> {
    const grants = (await this.roles.forNodes(tx, clusterId, [nodeId])).get(nodeId) ?? [];
    const bearer = (await this.bearers.of(tx, clusterId, [nodeId]))(nodeId);
    return grants.some(
      (grant) => grant.role === CACHE_ROLE && ineffectiveReason(grant, bearer, now) === null,
    );
  }
}

function view({ clusterId: _, reportedAt, ...cache }: UpdateCache, told: readonly { nodeId: string }[]) {
  const isTold = told.some(({ nodeId }) => nodeId === cache.nodeId);
  return { ...cache, isTold, reportedAt: reportedAt.toISOString() };
}

function roleRequired() {
  return conflict('role_required', `A node serves files of releases with the role ${CACHE_ROLE} alone.`);
}
