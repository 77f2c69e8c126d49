import { Injectable } from '@nestjs/common';
import type { Tx } from '../../common/transaction/tx.js';
import { type Channel, channelMoved, targetOf } from './channel.js';
import { ChannelsRepository } from './channels.repository.js';
import { doerOf } from './release.js';
import { ChannelMoving, type ReleaseRef } from './release-events.js';

/** Moves channels off a release that is being blocked, in every cluster. */
@Injectable()
export class ChannelRetreat {
  constructor(private readonly channels: ChannelsRepository) {}

  /**
   * The release is locked and marked as blocked, so that no channel comes to point to it any more. A channel goes back to
   * where it was last that is still good; `candidate` nowhere, since what was tried before is not to be tried again.
   */
  async retreat(tx: Tx, blocked: ReleaseRef, reason: string): Promise<void> {
    const { productId, releaseId } = blocked;
    for (const { clusterId, channel: name } of await this.channels.pointingTo(tx, blocked)) {
      await this.channels.lock(tx, clusterId, productId, name);
      const channel = await this.channels.findOf(tx, clusterId, productId, name);
      // Somebody may have moved it on while this waited for it.
      if (channel === null || channel.releaseId !== releaseId) continue;
      const to = await this.placeFor(tx, channel);
      await tx.raise(new ChannelMoving(clusterId, productId, name, targetOf(channel), to, 'block'));
      await this.channels.move(tx, channel, to, doerOf(tx.actor));
      tx.audit(channelMoved(channel, to, reason));
    }
  }

  private async placeFor(tx: Tx, { clusterId, productId, channel }: Channel): Promise<ReleaseRef | null> {
    return channel === 'candidate' ? null : this.channels.lastGood(tx, clusterId, productId, channel);
  }
}
