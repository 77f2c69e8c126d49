import { Injectable } from '@nestjs/common';
import type { ReadTx } from '../../common/transaction/tx.js';
import { MembershipsReadModel } from '../nodes/memberships.read-model.js';
import { ReleasesReadModel, type ServableFile } from '../releases/releases.read-model.js';
import { grantedRoles } from '../roles/role-assignment.js';
import { RoleBearers } from '../roles/role-bearers.js';
import { RolesReadModel } from '../roles/roles.read-model.js';
import { UpdatesReadModel } from '../rollouts/updates.read-model.js';
import { type MirroredFile, mirroredFiles, ranked } from './mirrored-files.js';
import { nearestCaches } from './near-caches.js';
import { UpdateCachesRepository } from './update-caches.repository.js';

/** The role that lets a node mirror what is approved. */
export const CACHE_ROLE = 'update-cache';

/** A cache as other nodes are told of it. */
export interface NearCache {
  nodeId: string;
  url: string;
  /** What its certificate must say. */
  spiffeId: string;
}

/** What other modules ask of caches. Nothing of it depends on the clock, nor on what a cache holds at the moment. */
@Injectable()
export class UpdateCachesReadModel {
  constructor(
    private readonly caches: UpdateCachesRepository,
    private readonly members: MembershipsReadModel,
    private readonly roles: RolesReadModel,
    private readonly bearers: RoleBearers,
    private readonly releases: ReleasesReadModel,
    private readonly updates: UpdatesReadModel,
  ) {}

  /** What every cache of the cluster is to keep, in the order in which it is needed. */
  async mirrored(tx: ReadTx, clusterId: string): Promise<MirroredFile[]> {
    const { files, ranks } = await this.needed(tx, clusterId);
    return mirroredFiles(files, ranks);
  }

  /** What of it is an artifact, for the cache that wants its bytes. */
  async artifacts(tx: ReadTx, clusterId: string): Promise<{ releaseId: string; os: string; arch: string }[]> {
    const { files } = await this.needed(tx, clusterId);
    return files.flatMap(({ releaseId, os, arch }) =>
      os === null || arch === null ? [] : [{ releaseId, os, arch }],
    );
  }

  /** Those of the caches that are nearest to each of these nodes, nearest first, by node id; a node without any is not in
   *  the map. @param told what {@link told} says */
  async nearest(
    tx: ReadTx,
    clusterId: string,
    nodeIds: readonly string[],
    told: readonly { nodeId: string; url: string }[],
  ): Promise<Map<string, NearCache[]>> {
    if (nodeIds.length === 0 || told.length === 0) return new Map();
    const concerned = [...nodeIds, ...told.map(({ nodeId }) => nodeId)];
    const paths = await this.members.groupPaths(tx, clusterId, concerned);
    const placed = told.map((cache) => ({ ...cache, groups: paths.get(cache.nodeId) ?? [] }));
    return new Map(
      nodeIds.flatMap((nodeId) => {
        const near = nearestCaches({ nodeId, groups: paths.get(nodeId) ?? [] }, placed);
        return near.length === 0 ? [] : [[nodeId, near.map((cache) => nearCache(clusterId, cache))] as const];
      }),
    );
  }

  /** Caches that nodes are told of: they serve, and their role lets them, now or at some time. */
  async told(tx: ReadTx, clusterId: string): Promise<{ nodeId: string; url: string }[]> {
    const serving = await this.caches.serving(tx, clusterId);
    if (serving.length === 0) return [];
    const nodeIds = serving.map(({ nodeId }) => nodeId);
    const grants = await this.roles.forNodes(tx, clusterId, nodeIds);
    const bearerOf = await this.bearers.of(tx, clusterId, nodeIds);
    return serving.filter(({ nodeId }) => {
      const { capabilities, deniedCapabilities, membershipStatus } = bearerOf(nodeId);
      const granted = grantedRoles(
        grants.get(nodeId) ?? [],
        capabilities,
        deniedCapabilities,
        membershipStatus,
      );
      return granted.some(({ role }) => role === CACHE_ROLE);
    });
  }

  private async needed(
    tx: ReadTx,
    clusterId: string,
  ): Promise<{ files: ServableFile[]; ranks: Map<string, number> }> {
    const underWay = await this.updates.releasesUnderWay(tx, clusterId);
    const ranks = ranked(underWay, await this.releases.channels(tx, clusterId));
    return { files: await this.releases.servableFiles(tx, [...ranks.keys()]), ranks };
  }
}

function nearCache(clusterId: string, { nodeId, url }: { nodeId: string; url: string }): NearCache {
  return { nodeId, url, spiffeId: `spiffe://${clusterId}/node/${nodeId}` };
}
