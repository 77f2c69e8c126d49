import { Injectable, type OnModuleInit } from '@nestjs/common';
import type { Tx } from '../../common/transaction/tx.js';
import { TxEvents } from '../../common/transaction/tx-events.js';
import {
  CapabilitiesChanged,
  MembershipDisabled,
  MembershipEnabled,
  MembershipEnded,
  NodeGroupMoved,
  NodeRegrouped,
} from '../nodes/membership-events.js';
import {
  ChannelMoving,
  ReleaseApproved,
  ReleaseBlocked,
  type ReleaseRef,
  ReleaseUnblocked,
} from '../releases/release-events.js';
import { ReleasesReadModel } from '../releases/releases.read-model.js';
import { RolesChanged } from '../roles/role-events.js';
import { RolesReadModel } from '../roles/roles.read-model.js';
import { ReleasesUnderWayChanged, UpdatesOffering } from '../rollouts/update-events.js';
import { UpdatesReadModel } from '../rollouts/updates.read-model.js';
import { CACHE_ROLE } from './update-caches.read-model.js';
import { UpdateCachesRepository } from './update-caches.repository.js';

/**
 * Says whose snapshots change with what caches mirror and where they are. Both concern nodes that the change itself does
 * not name, so that two transactions could miss each other: one changes the facts, the other makes a node one that is
 * told of them. So who changes the facts holds them alone, and who makes a node concerned holds them as they are.
 */
@Injectable()
export class UpdateCacheEvents implements OnModuleInit {
  constructor(
    private readonly events: TxEvents,
    private readonly caches: UpdateCachesRepository,
    private readonly roles: RolesReadModel,
    private readonly releases: ReleasesReadModel,
    private readonly updates: UpdatesReadModel,
  ) {}

  onModuleInit(): void {
    this.events.on(ChannelMoving, (tx, { clusterId }) => this.filesChanged(tx, clusterId));
    this.events.on(ReleasesUnderWayChanged, async (tx, { clusterId }) => {
      await this.filesChanged(tx, clusterId);
      // One that has come in is not blocked unseen before this commits.
      await this.releases.holdAll(tx, await this.updates.releasesUnderWay(tx, clusterId));
    });
    const decided = (tx: Tx, { release }: { release: ReleaseRef }) => this.releaseChanged(tx, release);
    this.events.on(ReleaseApproved, decided);
    this.events.on(ReleaseBlocked, decided);
    this.events.on(ReleaseUnblocked, decided);

    this.events.on(RolesChanged, (tx, { clusterId, nodeIds }) => this.rolesChanged(tx, clusterId, nodeIds));
    const changed = (tx: Tx, { clusterId, nodeId }: { clusterId: string; nodeId: string }) =>
      this.nodesChanged(tx, clusterId, [nodeId]);
    this.events.on(MembershipDisabled, changed);
    this.events.on(MembershipEnabled, changed);
    this.events.on(MembershipEnded, changed);
    this.events.on(CapabilitiesChanged, changed);
    this.events.on(NodeRegrouped, changed);
    this.events.on(NodeGroupMoved, async (tx, { clusterId }) => {
      if ((await this.caches.serving(tx, clusterId)).length > 0) await this.placesChanged(tx, clusterId);
    });
    this.events.on(UpdatesOffering, (tx, { clusterId }) =>
      this.caches.hold(tx, clusterId, 'places', 'as_it_is'),
    );
  }

  /** A cache is elsewhere, or nodes stand elsewhere to it: whoever has an update may be told of others. */
  async placesChanged(tx: Tx, clusterId: string): Promise<void> {
    await this.caches.hold(tx, clusterId, 'places', 'to_change');
    const nodeIds = await this.updates.toldNodes(tx, clusterId);
    if (nodeIds.length > 0) tx.touch(clusterId, nodeIds);
  }

  private async filesChanged(tx: Tx, clusterId: string): Promise<void> {
    await this.caches.hold(tx, clusterId, 'files', 'to_change');
    const nodeIds = await this.roles.nodesWith(tx, clusterId, CACHE_ROLE);
    if (nodeIds.length > 0) tx.touch(clusterId, nodeIds);
  }

  /** Channels that a block moves tell of it themselves. */
  private async releaseChanged(tx: Tx, { releaseId }: ReleaseRef): Promise<void> {
    for (const clusterId of await this.updates.clustersUnderWay(tx, releaseId))
      await this.filesChanged(tx, clusterId);
  }

  private async rolesChanged(tx: Tx, clusterId: string, nodeIds: readonly string[]): Promise<void> {
    const bearers = new Set(await this.roles.nodesWith(tx, clusterId, CACHE_ROLE));
    if (nodeIds.some((nodeId) => bearers.has(nodeId)))
      await this.caches.hold(tx, clusterId, 'files', 'as_it_is');
    await this.nodesChanged(tx, clusterId, nodeIds);
  }

  private async nodesChanged(tx: Tx, clusterId: string, nodeIds: readonly string[]): Promise<void> {
    const serving = await this.caches.serving(tx, clusterId);
    if (serving.some(({ nodeId }) => nodeIds.includes(nodeId))) await this.placesChanged(tx, clusterId);
  }
}
