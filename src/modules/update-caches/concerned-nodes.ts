import type { TouchFinder } from '../../common/transaction/ports.js';
import type { Tx } from '../../common/transaction/tx.js';
import type { RolesReadModel } from '../roles/roles.read-model.js';
import type { UpdatesReadModel } from '../rollouts/updates.read-model.js';
import { CACHE_ROLE } from './update-caches.read-model.js';
import type { UpdateCachesRepository } from './update-caches.repository.js';

/** Whom a transaction concerns by what it changes for caches: of what they mirror, all caches; of where they are, whoever
 *  has an update. */
export class ConcernedNodes implements TouchFinder {
  /** Clusters in which caches mirror something else, or where it depends on a release. */
  private readonly files = new Set<string>();
  private readonly releases = new Set<string>();
  /** Clusters whose rollouts lead to other releases. */
  private readonly ways = new Set<string>();
  /** Clusters in which a cache is elsewhere, or nodes stand elsewhere to those that serve. */
  private readonly places = new Set<string>();
  private readonly groups = new Set<string>();

  constructor(
    private readonly caches: UpdateCachesRepository,
    private readonly roles: RolesReadModel,
    private readonly updates: UpdatesReadModel,
  ) {}

  filesChange(clusterId: string): void {
    this.files.add(clusterId);
  }

  releaseChanges(releaseId: string): void {
    this.releases.add(releaseId);
  }

  waysChange(clusterId: string): void {
    this.ways.add(clusterId);
    this.files.add(clusterId);
  }

  placesChange(clusterId: string): void {
    this.places.add(clusterId);
  }

  groupsChange(clusterId: string): void {
    this.groups.add(clusterId);
  }

  async hold(tx: Tx): Promise<void> {
    if (this.releases.size > 0) await this.caches.holdWays(tx, 'alone');
    else if (this.ways.size > 0) await this.caches.holdWays(tx, 'shared');
  }

  /** Channels that a block moves tell of it themselves. */
  async clusters(tx: Tx): Promise<readonly string[]> {
    for (const releaseId of this.releases)
      for (const clusterId of await this.updates.clustersUnderWay(tx, releaseId)) this.files.add(clusterId);
    return [...new Set([...this.files, ...this.places, ...this.groups])];
  }

  async nodes(tx: Tx, clusterId: string): Promise<readonly string[]> {
    const mirroring = this.files.has(clusterId) ? await this.roles.nodesWith(tx, clusterId, CACHE_ROLE) : [];
    const told = (await this.areElsewhere(tx, clusterId)) ? await this.updates.toldNodes(tx, clusterId) : [];
    return [...mirroring, ...told];
  }

  private async areElsewhere(tx: Tx, clusterId: string): Promise<boolean> {
    if (this.places.has(clusterId)) return true;
    return this.groups.has(clusterId) && (await this.caches.serving(tx, clusterId)).length > 0;
  }
}
