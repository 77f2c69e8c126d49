import { Injectable } from '@nestjs/common';
import type { Actor } from '../../common/request/actor.js';
import { Transactor } from '../../common/transaction/transactor.js';
import type { Tx } from '../../common/transaction/tx.js';
import { PlatformPolicyService } from '../access/platform-policy.service.js';
import { ChannelRetreat } from './channel-retreat.js';
import { type Product, requireThreshold } from './product.js';
import { ProductsRepository } from './products.repository.js';
import {
  doerOf,
  mayApprove,
  noSuchRelease,
  releaseApproved,
  releaseUnblocked,
  releaseWasBlocked,
} from './release.js';
import { ReleaseApproved, ReleaseBlocked, type ReleaseRef, ReleaseUnblocked } from './release-events.js';
import { ReleasesRepository, type ReleaseWhole } from './releases.repository.js';
import type { ReleaseView } from './releases.schema.js';
import { ReleasesService } from './releases.service.js';

/** What people decide of releases. */
@Injectable()
export class ReleaseDecisionsService {
  constructor(
    private readonly transactor: Transactor,
    private readonly releases: ReleasesRepository,
    private readonly reading: ReleasesService,
    private readonly products: ProductsRepository,
    private readonly policy: PlatformPolicyService,
    private readonly channels: ChannelRetreat,
  ) {}

  /**
   * Lets the release leave the service. Approved is what was signed, by its digest; bytes may follow, since they are
   * held against it.
   * @throws not_found; conflict `release_blocked`; forbidden `publisher_may_not_approve`; invalid
   * `signature_threshold_not_met` when keys that signed it were revoked since
   */
  approve(actor: Actor, name: string, version: string): Promise<ReleaseView> {
    return this.transactor.mutate(actor, async (tx) => {
      const { product, release } = await this.lock(tx, name, version);
      const isNew = mayApprove(release, actor, await this.policy.get(tx));
      if (!isNew) return { result: await this.reading.view(tx, name, version), unchanged: true };
      requireThreshold(product, release.signatures.filter(({ revoked }) => !revoked).length);
      await this.releases.approve(tx, release.id, doerOf(actor));
      await tx.raise(new ReleaseApproved(refOf(release)));
      return {
        result: await this.reading.view(tx, name, version),
        events: [releaseApproved(release, release.manifestSha256)],
      };
    });
  }

  /**
   * Stops the release in one transaction: it leaves the service no more, channels go back from it, and whoever stands
   * above stops what goes on with it. @throws not_found
   */
  block(actor: Actor, name: string, version: string, reason: string): Promise<ReleaseView> {
    return this.transactor.mutate(actor, async (tx) => {
      const { release } = await this.lock(tx, name, version);
      if (release.blockedAt !== null)
        return { result: await this.reading.view(tx, name, version), unchanged: true };
      await this.releases.block(tx, release.id, doerOf(actor), reason);
      await this.channels.retreat(tx, refOf(release), reason);
      await tx.raise(new ReleaseBlocked(refOf(release), reason));
      return {
        result: await this.reading.view(tx, name, version),
        events: [releaseWasBlocked(release, reason)],
      };
    });
  }

  /** Takes a block back. Channels and rollouts stay where they are. @throws not_found */
  unblock(actor: Actor, name: string, version: string): Promise<ReleaseView> {
    return this.transactor.mutate(actor, async (tx) => {
      const { release } = await this.lock(tx, name, version);
      if (release.blockedAt === null)
        return { result: await this.reading.view(tx, name, version), unchanged: true };
      await this.releases.unblock(tx, release.id);
      await tx.raise(new ReleaseUnblocked(refOf(release)));
      return { result: await this.reading.view(tx, name, version), events: [releaseUnblocked(release)] };
    });
  }

  /** Decides of a product's releases one after the other: whoever blocks one goes on to hold others of the product, to
   *  which channels and rollouts go back. */
  private async lock(
    tx: Tx,
    name: string,
    version: string,
  ): Promise<{ product: Product; release: ReleaseWhole }> {
    const product = await this.products.lock(tx, name);
    if (product === null || !(await this.releases.lock(tx, name, version))) throw noSuchRelease();
    // A statement of its own: the one above may have waited, and sees what was before.
    const release = await this.releases.find(tx, name, version);
    if (release === null) throw noSuchRelease();
    return { product, release };
  }
}

function refOf({ productId, id, version }: ReleaseWhole): ReleaseRef {
  return { productId, releaseId: id, version };
}
