import { Injectable } from '@nestjs/common';
import type { z } from 'zod';
import { DomainError, invalid } from '../../common/errors/domain-error.js';
import { contentEtag } from '../../common/http/etag.js';
import { type Page, Paging } from '../../common/http/paging.js';
import type { Actor } from '../../common/request/actor.js';
import { currentRequest } from '../../common/request/request-context.js';
import { Transactor } from '../../common/transaction/transactor.js';
import type { ReadTx, Tx } from '../../common/transaction/tx.js';
import {
  type Channel,
  channelMoved,
  isChannel,
  noSuchChannel,
  promotionRefused,
  targetOf,
} from './channel.js';
import { ChannelsRepository } from './channels.repository.js';
import type { ChannelQuery, ChannelView } from './channels.schema.js';
import { doerOf, requireServable } from './release.js';
import { ChannelMoving } from './release-events.js';
import { ReleasesRepository, type ReleaseWhole } from './releases.repository.js';

/** Where the channels of a cluster point. */
@Injectable()
export class ChannelsService {
  constructor(
    private readonly transactor: Transactor,
    private readonly channels: ChannelsRepository,
    private readonly releases: ReleasesRepository,
    private readonly paging: Paging,
  ) {}

  /** @throws not_found */
  read(clusterId: string, product: string, channel: string): Promise<ChannelView> {
    return this.transactor.read(async (tx) => view(await this.get(tx, clusterId, product, channel)));
  }

  /** By product and channel. */
  list(clusterId: string, query: z.infer<typeof ChannelQuery>): Promise<Page<ChannelView>> {
    const { limit, cursor, product } = query;
    const list = { kind: 'channels', filters: { clusterId, product }, limit, cursor };
    return this.transactor.read(async (tx) => {
      const rows = await this.channels.list(tx, clusterId, product, this.paging.after(list), limit);
      return this.paging.page(list, rows, (row) => [row.product, row.channel], view);
    });
  }

  /**
   * Points the channel to a version. `If-Match` makes it a compare-and-set. A promotion that comes too early is recorded.
   * @throws not_found; stale; conflict `release_not_approved`, `release_blocked`, `promotion_not_proven`; invalid
   * `invalid_request`
   */
  async move(
    actor: Actor,
    clusterId: string,
    product: string,
    name: string,
    version: string,
  ): Promise<ChannelView> {
    try {
      return await this.point(actor, clusterId, product, name, version);
    } catch (error) {
      if (
        error instanceof DomainError &&
        error.code === 'promotion_not_proven' &&
        !currentRequest()?.dryRun
      ) {
        const channel = { clusterId, product, channel: name };
        await this.transactor.record(actor, promotionRefused(channel, version, error.details.reason ?? null));
      }
      throw error;
    }
  }

  private point(
    actor: Actor,
    clusterId: string,
    product: string,
    name: string,
    version: string,
  ): Promise<ChannelView> {
    return this.transactor.mutate(actor, async (tx) => {
      const { productId, channel } = await this.get(tx, clusterId, product, name);
      // The release before the channel, as a block takes them.
      const release = await this.target(tx, product, version);
      await this.channels.lock(tx, clusterId, productId, channel);
      const current = await this.get(tx, clusterId, product, name);
      tx.requireMatch(contentEtag(view(current)));
      requireServable(release);
      if (current.releaseId === release.id) return { result: view(current), unchanged: true };
      const to = { productId, releaseId: release.id, version };
      await tx.raise(new ChannelMoving(clusterId, productId, channel, targetOf(current), to, 'operator'));
      await this.channels.move(tx, current, to, doerOf(actor));
      return {
        result: view(await this.get(tx, clusterId, product, name)),
        events: [channelMoved(current, to, null)],
      };
    });
  }

  private async get(tx: ReadTx, clusterId: string, product: string, name: string): Promise<Channel> {
    const channel = isChannel(name) ? await this.channels.find(tx, clusterId, product, name) : null;
    if (channel === null) throw noSuchChannel();
    return channel;
  }

  private async target(tx: Tx, product: string, version: string): Promise<ReleaseWhole> {
    const isHeld = await this.releases.hold(tx, product, version);
    const release = isHeld ? await this.releases.find(tx, product, version) : null;
    if (release !== null) return release;
    const errors = [{ pointer: '#/version', message: 'There is no such release of this product.' }];
    throw invalid('invalid_request', 'There is no such release of this product.', { errors });
  }
}

function view({ clusterId, product, channel, version, revision, updatedAt }: Channel): ChannelView {
  return { clusterId, product, channel, version, revision, updatedAt: updatedAt?.toISOString() ?? null };
}
