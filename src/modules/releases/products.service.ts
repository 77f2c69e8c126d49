import { Injectable } from '@nestjs/common';
import type { z } from 'zod';
import { conflict } from '../../common/errors/domain-error.js';
import { contentEtag } from '../../common/http/etag.js';
import { type Page, Paging } from '../../common/http/paging.js';
import type { Actor } from '../../common/request/actor.js';
import { Transactor } from '../../common/transaction/transactor.js';
import { noSuchProduct, type Product, productCreated, productUpdated } from './product.js';
import { ProductsRepository } from './products.repository.js';
import type { CreateProduct, PatchProduct, ProductQuery, ProductView } from './products.schema.js';

/** What releases are of, and how many keys must sign one. */
@Injectable()
export class ProductsService {
  constructor(
    private readonly transactor: Transactor,
    private readonly products: ProductsRepository,
    private readonly paging: Paging,
  ) {}

  /** @throws conflict `product_exists` */
  create(actor: Actor, input: z.infer<typeof CreateProduct>): Promise<ProductView> {
    const serviceType = input.kind === 'workload' ? (input.serviceType ?? input.name) : null;
    return this.transactor.mutate(actor, async (tx) => {
      const product = await this.products.insert(tx, { ...input, serviceType });
      if (product === null) throw conflict('product_exists', 'There is a product of this name.');
      return { result: view(product), events: [productCreated(product)] };
    });
  }

  /** @throws not_found */
  read(name: string): Promise<ProductView> {
    return this.transactor.read(async (tx) => {
      const product = await this.products.find(tx, name);
      if (product === null) throw noSuchProduct();
      return view(product);
    });
  }

  /** Newest first. */
  list(query: z.infer<typeof ProductQuery>): Promise<Page<ProductView>> {
    const { limit, cursor, ...filters } = query;
    const list = { kind: 'products', filters, limit, cursor };
    return this.transactor.read(async (tx) => {
      const rows = await this.products.list(tx, filters, this.paging.after(list), limit);
      return this.paging.page(list, rows, (row) => [row.createdAt.toISOString(), row.id], view);
    });
  }

  /** Another threshold counts for what is published and approved from then on. @throws not_found; stale */
  patch(
    actor: Actor,
    name: string,
    { signatureThreshold }: z.infer<typeof PatchProduct>,
  ): Promise<ProductView> {
    return this.transactor.mutate(actor, async (tx) => {
      const product = await this.products.lock(tx, name);
      if (product === null) throw noSuchProduct();
      tx.requireMatch(contentEtag(view(product)));
      const threshold = signatureThreshold ?? product.signatureThreshold;
      const event = productUpdated(product, { signatureThreshold: threshold });
      if (event === null) return { result: view(product), unchanged: true };
      return { result: view(await this.products.setThreshold(tx, product.id, threshold)), events: [event] };
    });
  }
}

function view(product: Product): ProductView {
  const { createdAt, updatedAt } = product;
  return { ...product, createdAt: createdAt.toISOString(), updatedAt: updatedAt.toISOString() };
}
