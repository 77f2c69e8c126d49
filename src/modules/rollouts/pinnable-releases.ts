import { Injectable } from '@nestjs/common';
import { conflict, invalid, notFound } from '../../common/errors/domain-error.js';
import type { ReadTx, Tx } from '../../common/transaction/tx.js';
import { type KnownProduct, ReleasesReadModel } from '../releases/releases.read-model.js';
import type { ReleaseFacts } from '../releases/version-rules.js';

/** The releases to which nodes can be pinned. */
@Injectable()
export class PinnableReleases {
  constructor(private readonly releases: ReleasesReadModel) {}

  /** @throws not_found */
  async product(tx: ReadTx, name: string): Promise<KnownProduct> {
    const product = await this.releases.product(tx, name);
    if (product === null) throw notFound('not_found', 'There is no such product.');
    return product;
  }

  /** Approved and not blocked, until the transaction ends.
   *  @throws invalid; conflict `release_blocked`, `release_not_approved` */
  async usable(tx: Tx, product: KnownProduct, version: string): Promise<ReleaseFacts> {
    const release = await this.releases.release(tx, product.id, version);
    if (release === null) {
      const message = 'The product has no such release.';
      throw invalid('invalid_request', message, { errors: [{ pointer: '#/version', message }] });
    }
    const held = await this.releases.hold(tx, release.releaseId);
    if (held?.isBlocked === true) throw conflict('release_blocked', `Version ${version} is blocked.`);
    if (held?.isApproved !== true)
      throw conflict('release_not_approved', `Version ${version} is not approved.`);
    return release;
  }
}
