import { Body, Controller, Get, Param, Patch, Post } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import type { z } from 'zod';
import { CurrentActor, ValidQuery } from '../../common/auth/request-principal.js';
import { contentEtag } from '../../common/http/etag.js';
import { Route } from '../../common/http/operation.js';
import type { Page } from '../../common/http/paging.js';
import { WithStatus } from '../../common/http/with-status.js';
import type { Actor } from '../../common/request/actor.js';
import { CreateProduct, PatchProduct, ProductPage, ProductQuery, ProductView } from './products.schema.js';
import { ProductsService } from './products.service.js';

@ApiTags('Releases')
@Controller('api/v1/products')
export class ProductsController {
  constructor(private readonly products: ProductsService) {}

  @Post()
  @Route({
    id: 'createProduct',
    summary: 'Create a product',
    access: { permission: 'products.create' },
    status: 201,
    body: CreateProduct,
    bodyExample: { name: 'rap-node-agent', kind: 'node-agent', signatureThreshold: 2 },
    response: ProductView,
    etag: contentEtag,
    problems: ['product_exists'],
  })
  async create(
    @CurrentActor() actor: Actor,
    @Body() body: z.infer<typeof CreateProduct>,
  ): Promise<WithStatus<ProductView>> {
    const product = await this.products.create(actor, body);
    return new WithStatus(201, product, { Location: `/api/v1/products/${product.name}` });
  }

  @Get()
  @Route({
    id: 'listProducts',
    summary: 'List products, newest first',
    access: { permission: 'products.read' },
    query: ProductQuery,
    response: ProductPage,
  })
  list(@ValidQuery() query: z.infer<typeof ProductQuery>): Promise<Page<ProductView>> {
    return this.products.list(query);
  }

  @Get(':product')
  @Route({
    id: 'getProduct',
    summary: 'Read a product',
    access: { permission: 'products.read' },
    response: ProductView,
    etag: contentEtag,
  })
  get(@Param('product') name: string): Promise<ProductView> {
    return this.products.read(name);
  }

  @Patch(':product')
  @Route({
    id: 'updateProduct',
    summary: 'Change how many keys must sign a release',
    description: 'Counts for what is published or approved from then on; what is approved stays approved.',
    access: { permission: 'products.update' },
    highRisk: true,
    body: PatchProduct,
    bodyExample: { signatureThreshold: 2 },
    response: ProductView,
    etag: contentEtag,
  })
  patch(
    @CurrentActor() actor: Actor,
    @Param('product') name: string,
    @Body() body: z.infer<typeof PatchProduct>,
  ): Promise<ProductView> {
    return this.products.patch(actor, name, body);
  }
}
