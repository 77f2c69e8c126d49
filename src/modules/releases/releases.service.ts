import { Injectable } from '@nestjs/common';
import type { z } from 'zod';
import { type Page, Paging } from '../../common/http/paging.js';
import { Transactor } from '../../common/transaction/transactor.js';
import type { ReadTx } from '../../common/transaction/tx.js';
import { noSuchProduct } from './product.js';
import { ProductsRepository } from './products.repository.js';
import { noSuchRelease } from './release.js';
import { releaseSummary, releaseView } from './release-view.js';
import { ReleasesRepository } from './releases.repository.js';
import type { ReleaseQuery, ReleaseSummary, ReleaseView } from './releases.schema.js';

/** What is published. */
@Injectable()
export class ReleasesService {
  constructor(
    private readonly transactor: Transactor,
    private readonly releases: ReleasesRepository,
    private readonly products: ProductsRepository,
    private readonly paging: Paging,
  ) {}

  /** @throws not_found */
  read(product: string, version: string): Promise<ReleaseView> {
    return this.transactor.read((tx) => this.view(tx, product, version));
  }

  /** The release as `tx` sees it. @throws not_found */
  async view(tx: ReadTx, product: string, version: string): Promise<ReleaseView> {
    const release = await this.releases.find(tx, product, version);
    if (release === null) throw noSuchRelease();
    return releaseView(release, await this.releases.manifest(tx, release.id));
  }

  /** The envelope byte for byte as it was published. @throws not_found */
  async envelope(product: string, version: string): Promise<Buffer> {
    const envelope = await this.transactor.read((tx) => this.releases.envelope(tx, product, version));
    if (envelope === null) throw noSuchRelease();
    return envelope;
  }

  /** Newest first. @throws not_found without the product */
  list(product: string, query: z.infer<typeof ReleaseQuery>): Promise<Page<ReleaseSummary>> {
    const { limit, cursor, ...filters } = query;
    const list = { kind: 'releases', filters: { product, ...filters }, limit, cursor };
    return this.transactor.read(async (tx) => {
      if ((await this.products.find(tx, product)) === null) throw noSuchProduct();
      const rows = await this.releases.list(tx, product, filters, this.paging.after(list), limit);
      return this.paging.page(list, rows, (row) => [row.publishedAt.toISOString(), row.id], releaseSummary);
    });
  }
}
