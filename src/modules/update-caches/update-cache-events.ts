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
import { RolesChanged } from '../roles/role-events.js';
import { RolesReadModel } from '../roles/roles.read-model.js';
import { ReleasesUnderWayChanged } from '../rollouts/update-events.js';
import { UpdatesReadModel } from '../rollouts/updates.read-model.js';
import { ConcernedNodes } from './concerned-nodes.js';
import { UpdateCachesRepository } from './update-caches.repository.js';

/**
 * Says whose snapshots change with what caches mirror and where they are. Both concern nodes that the change itself does
 * not name, so that two transactions could miss each other: one changes the facts, the other makes a node one that is
 * told of them. So these nodes are found in the end ({@link ConcernedNodes}).
 */
@Injectable()
export class UpdateCacheEvents implements OnModuleInit {
  private readonly concerned = new WeakMap<Tx, ConcernedNodes>();

  constructor(
    private readonly events: TxEvents,
    private readonly caches: UpdateCachesRepository,
    private readonly roles: RolesReadModel,
    private readonly updates: UpdatesReadModel,
  ) {}

  onModuleInit(): void {
    this.events.on(ChannelMoving, async (tx, { clusterId }) => this.by(tx).filesChange(clusterId));
    this.events.on(ReleasesUnderWayChanged, async (tx, { clusterId }) => this.by(tx).waysChange(clusterId));
    const decided = async (tx: Tx, { release }: { release: ReleaseRef }) =>
      this.by(tx).releaseChanges(release.releaseId);
    this.events.on(ReleaseApproved, decided);
    this.events.on(ReleaseBlocked, decided);
    this.events.on(ReleaseUnblocked, decided);

    this.events.on(RolesChanged, (tx, { clusterId, nodeIds }) => this.nodesChanged(tx, clusterId, nodeIds));
    const changed = (tx: Tx, { clusterId, nodeId }: { clusterId: string; nodeId: string }) =>
      this.nodesChanged(tx, clusterId, [nodeId]);
    this.events.on(MembershipDisabled, changed);
    this.events.on(MembershipEnabled, changed);
    this.events.on(MembershipEnded, changed);
    this.events.on(CapabilitiesChanged, changed);
    this.events.on(NodeRegrouped, changed);
    this.events.on(NodeGroupMoved, async (tx, { clusterId }) => this.by(tx).groupsChange(clusterId));
  }

  /** A cache is elsewhere: whoever has an update may be told of others. */
  placesChanged(tx: Tx, clusterId: string): void {
    this.by(tx).placesChange(clusterId);
  }

  /** Whoever says where it serves holds its member meanwhile, as these are held. */
  private async nodesChanged(tx: Tx, clusterId: string, nodeIds: readonly string[]): Promise<void> {
    const serving = await this.caches.serving(tx, clusterId);
    if (serving.some(({ nodeId }) => nodeIds.includes(nodeId))) this.placesChanged(tx, clusterId);
  }

  private by(tx: Tx): ConcernedNodes {
    const known = this.concerned.get(tx);
    if (known !== undefined) return known;
    const concerned = new ConcernedNodes(this.caches, this.roles, this.updates);
    this.concerned.set(tx, concerned);
    tx.touchFound(concerned);
    return concerned;
  }
}
