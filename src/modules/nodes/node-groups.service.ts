import { Injectable } from '@nestjs/common';
import type { z } from 'zod';
import { postgresRefusal, violates } from '../../common/database/postgres-errors.js';
import { conflict, invalid, notFound } from '../../common/errors/domain-error.js';
import { contentEtag } from '../../common/http/etag.js';
import { mergePatch } from '../../common/http/merge-patch.js';
import { type Page, Paging } from '../../common/http/paging.js';
import type { Actor } from '../../common/request/actor.js';
import { Transactor } from '../../common/transaction/transactor.js';
import type { Tx } from '../../common/transaction/tx.js';
import { NodeGroupMoved } from './membership-events.js';
import {
  type NodeGroup,
  type NodeGroupSettings,
  nodeGroupCreated,
  nodeGroupDeleted,
  nodeGroupUpdated,
  placementFault,
} from './node-group.js';
import { NodeGroupsRepository } from './node-groups.repository.js';
import {
  type CreateNodeGroup,
  type NodeGroupQuery,
  type NodeGroupView,
  type PatchNodeGroup,
  ROOT,
} from './node-groups.schema.js';

/** The tree of a cluster's node groups. Every change of it waits for the one before, so that each sees the tree whole. */
@Injectable()
export class NodeGroupsService {
  constructor(
    private readonly transactor: Transactor,
    private readonly groups: NodeGroupsRepository,
    private readonly paging: Paging,
  ) {}

  /** @throws not_found */
  async get(clusterId: string, id: string): Promise<NodeGroupView> {
    const group = await this.transactor.read((tx) => this.groups.find(tx, clusterId, id));
    if (group === null) throw noSuchGroup();
    return view(group);
  }

  /** Newest first. */
  list(
    clusterId: string,
    { limit, cursor, parentId }: z.infer<typeof NodeGroupQuery>,
  ): Promise<Page<NodeGroupView>> {
    const list = { kind: 'node_groups', filters: { clusterId, parentId }, limit, cursor };
    const after = this.paging.after(list);
    return this.transactor.read(async (tx) => {
      const rows = await this.groups.list(tx, clusterId, parentId === ROOT ? null : parentId, after, limit);
      return this.paging.page(list, rows, (row) => [row.createdAt.toISOString(), row.id], view);
    });
  }

  /** @throws invalid `group_not_found`; conflict `group_name_taken`, `group_too_deep` */
  create(actor: Actor, clusterId: string, input: z.infer<typeof CreateNodeGroup>): Promise<NodeGroupView> {
    const settings = { name: input.name, parentId: input.parentId ?? null };
    return this.transactor.mutate(actor, async (tx) => {
      await this.groups.lockTree(tx, clusterId);
      // No group has this id yet, so that only the depth can be wrong.
      await this.checkPlace(tx, clusterId, { groupId: '', parentId: settings.parentId, height: 1 });
      const group = await translated(() => this.groups.insert(tx, clusterId, settings));
      return { result: view(group), events: [nodeGroupCreated(group)] };
    });
  }

  /** Renames or moves a group, with all that lies in it.
   *  @throws not_found; stale; invalid `group_not_found`; conflict `group_cycle`, `group_too_deep`, `group_name_taken` */
  patch(
    actor: Actor,
    clusterId: string,
    id: string,
    patch: z.infer<typeof PatchNodeGroup>,
  ): Promise<NodeGroupView> {
    return this.transactor.mutate(actor, async (tx) => {
      const group = await this.lock(tx, clusterId, id);
      const next = patched(group, patch);
      const event = nodeGroupUpdated(group, next);
      if (event === null) return { result: view(group), unchanged: true };
      if (next.parentId !== group.parentId) {
        const height = await this.groups.height(tx, clusterId, id);
        await this.checkPlace(tx, clusterId, { groupId: id, parentId: next.parentId, height });
      }
      const updated = await translated(() => this.groups.update(tx, group, next));
      if (next.parentId !== group.parentId) await tx.raise(new NodeGroupMoved(clusterId, id));
      return { result: view(updated), events: [event] };
    });
  }

  /** @throws not_found; stale; conflict `node_group_not_empty` */
  delete(actor: Actor, clusterId: string, id: string): Promise<void> {
    return this.transactor.mutate(actor, async (tx) => {
      const group = await this.lock(tx, clusterId, id);
      if (await this.groups.isOccupied(tx, group)) throw notEmpty();
      await translated(() => this.groups.delete(tx, group));
      return { result: undefined, events: [nodeGroupDeleted(group)] };
    });
  }

  private async lock(tx: Tx, clusterId: string, id: string): Promise<NodeGroup> {
    await this.groups.lockTree(tx, clusterId);
    const group = await this.groups.find(tx, clusterId, id);
    if (group === null) throw noSuchGroup();
    tx.requireMatch(contentEtag(view(group)));
    return group;
  }

  private async checkPlace(
    tx: Tx,
    clusterId: string,
    { groupId, parentId, height }: { groupId: string; parentId: string | null; height: number },
  ): Promise<void> {
    const ancestorIds = parentId === null ? [] : await this.groups.ancestors(tx, clusterId, parentId);
    if (parentId !== null && ancestorIds.length === 0) {
      const errors = [{ pointer: '#/parentId', message: 'No such group in this cluster.' }];
      throw invalid('group_not_found', 'The cluster has no such node group.', { errors });
    }
    const fault = placementFault({ groupId, ancestorIds, height });
    if (fault === 'group_cycle')
      throw conflict('group_cycle', 'The new parent is the group itself, or lies below it.');
    if (fault === 'group_too_deep') throw conflict('group_too_deep', 'Groups nest at most 8 levels deep.');
  }
}

function patched({ name, parentId }: NodeGroup, patch: z.infer<typeof PatchNodeGroup>): NodeGroupSettings {
  const next = mergePatch({ name, parentId }, patch) as Partial<NodeGroupSettings>;
  return { name: next.name ?? name, parentId: next.parentId ?? null };
}

function view({ createdAt, updatedAt, ...rest }: NodeGroup): NodeGroupView {
  return { ...rest, createdAt: createdAt.toISOString(), updatedAt: updatedAt.toISOString() };
}

/** Says in the API's words what a constraint refused: who files a node here does not take the lock of the tree. */
async function translated<T>(write: () => Promise<T>): Promise<T> {
  try {
    return await write();
  } catch (error) {
    if (violates(error, 'node_groups_name_in_parent')) {
      throw conflict('group_name_taken', 'There is a group of this name in the same place.', {
        cause: error,
      });
    }
    if (postgresRefusal(error)?.constraint === 'cluster_memberships_cluster_id_group_id_fkey')
      throw notEmpty(error);
    throw error;
  }
}

function notEmpty(cause?: unknown) {
  return conflict('node_group_not_empty', 'The group still has nodes or groups in it.', { cause });
}

function noSuchGroup() {
  return notFound('not_found', 'The cluster has no such node group.');
}
