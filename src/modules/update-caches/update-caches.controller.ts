import { Controller, Get } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import type { z } from 'zod';
import { ClusterId, ValidQuery } from '../../common/auth/request-principal.js';
import { Route } from '../../common/http/operation.js';
import type { Page } from '../../common/http/paging.js';
import { UpdateCachePage, UpdateCacheQuery, type UpdateCacheView } from './update-caches.schema.js';
import { UpdateCachesService } from './update-caches.service.js';

@ApiTags('Releases')
@Controller('api/v1/clusters/:cluster/update-caches')
export class UpdateCachesController {
  constructor(private readonly caches: UpdateCachesService) {}

  @Get()
  @Route({
    id: 'listUpdateCaches',
    summary: 'List where nodes serve files of releases to others, and what they say they hold',
    access: { permission: 'nodes.read' },
    query: UpdateCacheQuery,
    response: UpdateCachePage,
  })
  list(
    @ClusterId() clusterId: string,
    @ValidQuery() query: z.infer<typeof UpdateCacheQuery>,
  ): Promise<Page<UpdateCacheView>> {
    return this.caches.list(clusterId, query);
  }
}
